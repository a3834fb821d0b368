/* SPDX-License-Identifier: BSD-2-Clause */
/* Receipts: kept, checked, shown. CPU 0 only. */
#include "migrate/receipt.h"

#include "kernel/fmt.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "migrate/wire.h"

typedef unsigned long long ull;

static const char *const part_names[PART_COUNT] = {
	[PART_STOP] = "stop", [PART_HARVEST] = "harvest", [PART_SEND_TAIL] = "send_tail",
	[PART_REMOTE_APPLY] = "remote_apply", [PART_VERIFY] = "verify", [PART_READY] = "ready",
	[PART_COMMIT] = "commit", [PART_RESUME] = "resume", [PART_ANNOUNCE] = "announce",
};

const char *receipt_result_name(u32 result)
{
	static const char *const names[RECEIPT_RESULT_COUNT] = { "running", "ok", "failed",
								 "cancelled" };

	return result < RECEIPT_RESULT_COUNT ? names[result] : "?";
}

void receipt_add_round(struct receipt *receipt, const struct receipt_round *round)
{
	struct receipt_round *slot;

	if (receipt->round_count < RECEIPT_ROUNDS_MAX) {
		receipt->round[receipt->round_count++] = *round;
		return;
	}
	slot = &receipt->round[RECEIPT_ROUNDS_MAX - 1];
	slot->pages += round->pages;
	slot->zero_pages += round->zero_pages;
	slot->bytes += round->bytes;
	slot->dirty_pages += round->dirty_pages;
	slot->us += round->us;
}

void receipt_sum_stun(struct receipt *receipt)
{
	receipt->stun_us = 0;
	for (u32 i = 0; i < PART_COUNT; i++)
		receipt->stun_us += receipt->part_us[i];
}

bool receipt_check(const struct receipt *receipt)
{
	return wire_text_ok(receipt->vm, sizeof(receipt->vm)) &&
	       wire_text_ok(receipt->from, sizeof(receipt->from)) &&
	       wire_text_ok(receipt->to, sizeof(receipt->to)) &&
	       wire_text_ok(receipt->code, sizeof(receipt->code)) &&
	       wire_text_ok(receipt->why, sizeof(receipt->why)) &&
	       wire_text_ok(receipt->tracking, sizeof(receipt->tracking)) &&
	       receipt->result < RECEIPT_RESULT_COUNT && receipt->round_count <= RECEIPT_ROUNDS_MAX;
}

void receipt_keep(const struct receipt *receipt, bool is_incoming)
{
	struct kept_receipt *kept = &migration->receipt[migration->receipt_count++ % RECEIPTS_KEPT];

	kept->receipt = *receipt;
	kept->is_incoming = is_incoming;
}

const struct kept_receipt *receipt_nth(u32 index)
{
	u32 count = migration->receipt_count;
	u32 oldest = count > RECEIPTS_KEPT ? count - RECEIPTS_KEPT : 0;

	return index < count - oldest ? &migration->receipt[(oldest + index) % RECEIPTS_KEPT]
				      : NULL;
}

void receipt_id(const u8 session[16], char id[RECEIPT_ID_MAX])
{
	fmt_snprintf(id, RECEIPT_ID_MAX, "%02x%02x%02x%02x", session[0], session[1], session[2],
		     session[3]);
}

const struct kept_receipt *receipt_find(const char *id)
{
	const struct kept_receipt *kept, *found = NULL;

	for (u32 i = 0; (kept = receipt_nth(i)); i++) {
		char this_id[RECEIPT_ID_MAX];

		receipt_id(kept->receipt.session, this_id);
		if (!id || !strcmp(id, this_id))
			found = kept;
	}
	return found;
}

const struct kept_receipt *receipt_of_session(const u8 session[16])
{
	const struct kept_receipt *kept;

	for (u32 i = 0; (kept = receipt_nth(i)); i++)
		if (!memcmp(kept->receipt.session, session, sizeof(kept->receipt.session)))
			return kept;
	return NULL;
}

/* --- showing --- */

static void show_rounds(struct shell *shell, const struct receipt *receipt)
{
	shell_print(shell, "  round      pages       zero      bytes      dirty         us\n");
	json_open_array(shell, "rounds");
	for (u32 i = 0; i < receipt->round_count; i++) {
		const struct receipt_round *round = &receipt->round[i];

		shell_print(shell, "  %5u %10llu %10llu %10llu %10llu %10llu\n", i,
			    (ull)round->pages, (ull)round->zero_pages, (ull)round->bytes,
			    (ull)round->dirty_pages, (ull)round->us);
		json_open_object(shell, NULL);
		json_u64(shell, "pages", round->pages);
		json_u64(shell, "zero_pages", round->zero_pages);
		json_u64(shell, "bytes", round->bytes);
		json_u64(shell, "dirty_pages", round->dirty_pages);
		json_u64(shell, "us", round->us);
		json_close_object(shell);
	}
	json_close_array(shell);
}

static void show_stun(struct shell *shell, const struct receipt *receipt)
{
	shell_print(shell, "  stun %llu us (predicted %llu, limit %llu):", (ull)receipt->stun_us,
		    (ull)receipt->predicted_stun_us, (ull)receipt->stun_limit_us);
	json_u64(shell, "stun_us", receipt->stun_us);
	json_open_array(shell, "stun_parts");
	for (u32 i = 0; i < PART_COUNT; i++) {
		shell_print(shell, "%s %s %llu", i ? "," : "", part_names[i],
			    (ull)receipt->part_us[i]);
		json_open_object(shell, NULL);
		json_string(shell, "name", part_names[i]);
		json_u64(shell, "us", receipt->part_us[i]);
		json_close_object(shell);
	}
	json_close_array(shell);
	shell_print(shell, "\n");
}

static void show_json_sums(struct shell *shell, const struct receipt *receipt)
{
	json_u64(shell, "total_us", receipt->total_us);
	json_u64(shell, "bytes_sent", receipt->bytes_sent);
	json_u64(shell, "pages_sent", receipt->pages_sent);
	json_u64(shell, "zero_pages", receipt->zero_pages);
	json_u64(shell, "guest_ram_bytes", receipt->guest_ram_bytes);
	json_u64(shell, "throughput_bps", receipt->throughput_bps);
	json_u64(shell, "throttled_us", receipt->throttled_us);
	json_u64(shell, "stun_limit_us", receipt->stun_limit_us);
	json_u64(shell, "predicted_stun_us", receipt->predicted_stun_us);
	json_u64(shell, "pages_verified", receipt->pages_verified);
	json_u64(shell, "epoch", receipt->epoch);
	json_bool(shell, "digest_match", receipt->digest_match);
	json_string(shell, "tracking", receipt->tracking);
	json_u64(shell, "entries_scanned", receipt->entries_scanned);
	json_u64(shell, "log_entries", receipt->log_entries);
	json_u64(shell, "tracking_exits", receipt->tracking_exits);
}

static void show_head(struct shell *shell, const struct kept_receipt *kept)
{
	const struct receipt *receipt = &kept->receipt;
	char id[RECEIPT_ID_MAX], session[33], digest[17];

	for (u32 i = 0; i < sizeof(receipt->session); i++)
		fmt_snprintf(session + 2 * i, 3, "%02x", receipt->session[i]);
	fmt_snprintf(digest, sizeof(digest), "%016llx", (ull)receipt->digest);
	receipt_id(receipt->session, id);
	json_string(shell, "id", id);
	json_string(shell, "session", session);
	json_string(shell, "direction", kept->is_incoming ? "in" : "out");
	json_string(shell, "vm", receipt->vm);
	json_string(shell, "from", receipt->from);
	json_string(shell, "to", receipt->to);
	json_string(shell, "result", receipt_result_name(receipt->result));
	json_string(shell, "error", receipt->code);
	json_string(shell, "why", receipt->why);
	json_string(shell, "digest", digest);
	shell_print(shell, "receipt %s: %s from %s to %s: %s%s%s\n", id, receipt->vm, receipt->from,
		    receipt->to, receipt_result_name(receipt->result), receipt->why[0] ? ": " : "",
		    receipt->why);
}

void receipt_show(struct shell *shell, const struct kept_receipt *kept)
{
	const struct receipt *receipt = &kept->receipt;

	show_head(shell, kept);
	show_rounds(shell, receipt);
	show_stun(shell, receipt);
	show_json_sums(shell, receipt);
	shell_print(shell,
		    "  total %llu us, %llu bytes, %llu pages sent, %llu zero pages elided, %llu "
		    "Mbit/s while sending\n",
		    (ull)receipt->total_us, (ull)receipt->bytes_sent, (ull)receipt->pages_sent,
		    (ull)receipt->zero_pages, (ull)receipt->throughput_bps / 1000000);
	if (receipt->throttled_us)
		shell_print(shell, "  held back by the rate limit for %llu us\n",
			    (ull)receipt->throttled_us);
	if (receipt->tracking[0])
		shell_print(shell, "  written pages found by %s: %llu table entries, %llu log entries, %llu exits\n",
			    receipt->tracking, (ull)receipt->entries_scanned, (ull)receipt->log_entries,
			    (ull)receipt->tracking_exits);
	shell_print(shell, "  %llu pages verified, digests %s\n", (ull)receipt->pages_verified,
		    receipt->digest_match ? "match" : "not compared");
}
