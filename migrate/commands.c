/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console's words for moves: migrate NAME to PEER, check, status, cancel, history, receipt,
 * resolve.
 */
#include "kernel/fmt.h"
#include "kernel/string.h"
#include "migrate/codes.h"
#include "migrate/limits.h"
#include "migrate/migrate.h"
#include "migrate/peer.h"
#include "migrate/progress.h"
#include "migrate/receive.h"
#include "migrate/send.h"
#include "vmm/vm_commands.h"

typedef unsigned long long ull;

#define LINE_MAX 240

static const char *nth_peer(unsigned index)
{
	const struct peer *peer = peer_nth(index);

	return peer ? peer->name : NULL;
}

static const char *complete_move(unsigned word, unsigned index)
{
	if (word == 1)
		return index == 0 ? "to" : NULL;
	return word == 2 ? nth_peer(index) : vm_complete(word, index);
}

/* --- progress --- */

/* One line that says all: phase, what remains, speeds, and what is predicted. */
static void describe(const struct send *send, char *line, size_t size)
{
	const struct rounds *rounds = &send->rounds;
	char advice[80] = "", end[24] = "?";

	if (progress_end_ns(send))
		fmt_snprintf(end, sizeof(end), "%llu ms", (ull)(progress_end_ns(send) / NS_PER_MS + 1));
	if (rounds_are_stalled(rounds))
		fmt_snprintf(advice, sizeof(advice),
			     "; not converging: needs stun=%llums or rate=%lluM",
			     (ull)(rounds->predicted_ns / NS_PER_MS + 1),
			     (ull)(rounds_needed_rate(rounds) * 8 / 1000000 + 1));
	fmt_snprintf(line, size,
		     "%s to %s: %s, round %u, %u%% left, %llu Mbit/s, %llu pages/s dirtied, "
		     "stun %llu us, end in %s%s",
		     send->receipt.vm, send->receipt.to, progress_phase_name(send), rounds->number,
		     progress_remaining_percent(send), (ull)progress_bytes_per_sec(send) * 8 / 1000000,
		     (ull)send->dirty_per_sec, (ull)rounds->predicted_ns / NS_PER_US, end, advice);
}

static void show_progress(struct shell *shell, const struct send *send)
{
	char line[LINE_MAX];

	describe(send, line, sizeof(line));
	shell_progress(shell, "%s", line);
}

static void watch(const struct send *send)
{
	memcpy(migration->watched, send->receipt.session, sizeof(migration->watched));
	migration->is_watched = true;
}

static void stop_watching(void) { migration->is_watched = false; }

static enum cmd_result report(struct shell *shell)
{
	const struct kept_receipt *kept = receipt_of_session(migration->watched);

	stop_watching();
	if (!kept)
		return migrate_fail(shell, "E-NO-SUCH-MOVE", "migrate",
				    "so many moves ended at once that its receipt is gone");
	receipt_show(shell, kept);
	if (kept->receipt.result == RECEIPT_MOVED)
		return CMD_OK;
	return migrate_fail(shell, kept->receipt.code, kept->receipt.vm, "%s", kept->receipt.why);
}

static enum cmd_result watch_tick(struct shell *shell, void *context)
{
	const struct send *send = send_find(migration->watched);

	(void)context;
	if (!migration->is_watched)
		return CMD_OK;
	if (!send || send->is_over)
		return report(shell);
	show_progress(shell, send);
	return CMD_RUNNING;
}

static void watch_interrupt(struct shell *shell, void *context)
{
	(void)context;
	shell_print(shell, "the move goes on; migrate status shows it, migrate cancel ends it\n");
	stop_watching();
}

/* --- migrate NAME to PEER --- */

/* The command again on a running move: new limits. */
static enum cmd_result change_limits(struct shell *shell, struct send *send,
				     const struct cmd_args *args)
{
	if (!args_option(args, "stun") && !args_option(args, "rate"))
		return migrate_fail(shell, "E-MOVING", send->receipt.vm, "it is being moved already");
	if (args_option(args, "stun")) {
		send->rounds.limit_ns = send->options.stun_limit_ns;
		send->receipt.stun_limit_us = send->options.stun_limit_ns / NS_PER_US;
	}
	if (args_option(args, "rate"))
		send->pace.bytes_per_sec = send->options.rate_bytes;
	shell_print(shell, "limits of the running move changed\n");
	return CMD_OK;
}

static bool find_ends(struct shell *shell, const struct cmd_args *args, struct vm **vm,
		      struct stream_address *address)
{
	*vm = vm_named(shell, args->word[0]);
	if (!*vm)
		return false;
	if (strcmp(args->word[1], "to"))
		migrate_fail(shell, "E-BAD-VALUE", args->word[1], "say: migrate %s to PEER", args->word[0]);
	else if (peer_resolve(args->word[2], address))
		migrate_fail(shell, "E-NO-SUCH-PEER", args->word[2], "neither a peer (peer list) nor an address");
	else
		return true;
	return false;
}

/* NULL: shell_fail was called. */
static struct send *start(struct shell *shell, const struct cmd_args *args, struct vm *vm,
			  struct stream_address address, const struct send_options *options)
{
	struct wire_reason reason;
	struct send *send = send_start(vm, args->word[2], address, options, &reason);

	if (!send)
		migrate_fail(shell, reason.code, args->word[0], "%s", reason.why);
	return send;
}

static enum cmd_result run_move(struct shell *shell, const struct cmd_args *args)
{
	struct send_options options = { .stun_limit_ns = ROUNDS_STUN_DEFAULT_NS };
	struct stream_address address;
	struct send *send;
	const char *bad;
	struct vm *vm;

	if (!find_ends(shell, args, &vm, &address))
		return CMD_FAILED;
	send = send_of_vm(vm);
	bad = limits_parse(send ? &send->options : &options, args_option(args, "stun"),
			   args_option(args, "rate"));
	if (bad)
		return migrate_fail(shell, "E-BAD-VALUE", bad,
				    "stun=100us to 60s, rate=1M or more (bits per second)");
	if (send)
		return change_limits(shell, send, args);
	send = start(shell, args, vm, address, &options);
	if (!send)
		return CMD_FAILED;
	if (args_flag(args, "--detach"))
		return CMD_OK;
	watch(send);
	return shell_wait(shell, watch_tick, watch_interrupt, NULL);
}

static const char *const move_options[] = { "stun", "rate", "--detach", NULL };
SHELL_COMMAND(migrate_move) = {
	.noun = "migrate",
	.verb = "*",
	.usage = "migrate NAME to PEER [stun=5ms] [rate=1G] [--detach]",
	.help = "move a running VM to another host",
	.min_words = 3,
	.max_words = 3,
	.options = move_options,
	.run = run_move,
	.complete = complete_move,
};

/* --- migrate check --- */

static enum cmd_result report_check(struct shell *shell, const struct send *send)
{
	json_bool(shell, "tsc_trapped", send->accepted.is_tsc_trapped);
	json_open_array(shell, "blocks");
	for (u32 i = 0; i < send->compat.count; i++) {
		shell_print(shell, "  %s (%s)\n", send->compat.reason[i].why,
			    send->compat.reason[i].code);
		json_open_object(shell, NULL);
		json_string(shell, "code", send->compat.reason[i].code);
		json_string(shell, "why", send->compat.reason[i].why);
		json_close_object(shell);
	}
	json_close_array(shell);
	if (send->receipt.code[0])
		return migrate_fail(shell, send->receipt.code, send->receipt.vm, "%s", send->receipt.why);
	if (send->accepted.is_tsc_trapped)
		shell_print(shell, "  its TSC runs at another rate there: reading it would be slow\n");
	shell_print(shell, "nothing blocks it; %llu MiB would be free there after the move\n",
		    (ull)(send->accepted.free_bytes / MIB));
	return CMD_OK;
}

/* A check leaves no receipt, so its end is looked at before the session is freed. */
static enum cmd_result check_tick(struct shell *shell, void *context)
{
	struct send *send = send_find(migration->watched);

	(void)context;
	if (send && !send->is_over)
		return CMD_RUNNING;
	stop_watching();
	if (!send)
		return migrate_fail(shell, "E-PEER-SILENT", "migrate check", "the session was lost");
	send->is_held = false;
	return report_check(shell, send);
}

static void check_interrupt(struct shell *shell, void *context)
{
	struct send *send = send_find(migration->watched);

	(void)shell;
	(void)context;
	stop_watching();
	if (!send)
		return;
	send->is_held = false;
	send_cancel(send);
}

static enum cmd_result run_check(struct shell *shell, const struct cmd_args *args)
{
	struct send_options options = { .stun_limit_ns = ROUNDS_STUN_DEFAULT_NS, .is_check = true };
	struct stream_address address;
	struct send *send;
	struct vm *vm;

	if (!find_ends(shell, args, &vm, &address))
		return CMD_FAILED;
	send = start(shell, args, vm, address, &options);
	if (!send)
		return CMD_FAILED;
	send->is_held = true;
	watch(send);
	return shell_wait(shell, check_tick, check_interrupt, NULL);
}

SHELL_COMMAND(migrate_check) = {
	.noun = "migrate",
	.verb = "check",
	.usage = "migrate check NAME to PEER",
	.help = "everything that would block the move, before a byte moves",
	.min_words = 3,
	.max_words = 3,
	.run = run_check,
	.complete = complete_move,
};

/* --- migrate status --- */

static void show_send(struct shell *shell, const struct send *send)
{
	const struct rounds *rounds = &send->rounds;
	char line[LINE_MAX];

	describe(send, line, sizeof(line));
	shell_print(shell, "%s\n", line);
	json_open_object(shell, NULL);
	json_string(shell, "direction", "out");
	json_string(shell, "vm", send->receipt.vm);
	json_string(shell, "to", send->receipt.to);
	json_string(shell, "phase", progress_phase_name(send));
	json_u64(shell, "round", rounds->number);
	json_u64(shell, "remaining_percent", progress_remaining_percent(send));
	json_u64(shell, "bytes_sent", send->receipt.bytes_sent);
	json_u64(shell, "acked_pages", send->acked_count);
	json_u64(shell, "throughput_bps", progress_bytes_per_sec(send) * 8);
	json_u64(shell, "end_us", progress_end_ns(send) / NS_PER_US);
	json_u64(shell, "dirty_pages_per_s", send->dirty_per_sec);
	json_u64(shell, "predicted_stun_us", rounds->predicted_ns / NS_PER_US);
	json_bool(shell, "is_converging", !rounds_are_stalled(rounds));
	json_close_object(shell);
}

static void show_arrival(struct shell *shell, const struct arrival *arrival)
{
	const char *phase = !arrival->is_verified      ? "coming in"
			    : arrival->is_session_open ? "verified"
						       : "held, peer silent";

	shell_print(shell, "%s from %s: %s, %llu of %llu pages here\n", arrival->vm->config.name,
		    arrival->from, phase, (ull)arrival->digests.known_count,
		    (ull)arrival->digests.page_count);
	json_open_object(shell, NULL);
	json_string(shell, "direction", "in");
	json_string(shell, "vm", arrival->vm->config.name);
	json_string(shell, "from", arrival->from);
	json_string(shell, "phase", phase);
	json_u64(shell, "pages", arrival->digests.known_count);
	json_u64(shell, "ram_pages", arrival->digests.page_count);
	json_close_object(shell);
}

static enum cmd_result run_status(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	json_open_array(shell, "moves");
	list_for_each(send, &migration->sends, struct send, link)
		if (!send->is_over && !send->options.is_check)
			show_send(shell, send);
	list_for_each(arrival, &migration->arrivals, struct arrival, link)
		show_arrival(shell, arrival);
	json_close_array(shell);
	shell_print(shell, "durable=%s\n", durable_kind());
	json_string(shell, "durable", durable_kind());
	return CMD_OK;
}

SHELL_COMMAND(migrate_status) = {
	.noun = "migrate",
	.verb = "status",
	.usage = "migrate status",
	.help = "moves that go on, both directions",
	.run = run_status,
};

/* --- migrate cancel, history, receipt --- */

static enum cmd_result run_cancel(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_find(args->word[0]);
	struct send *send = vm ? send_of_vm(vm) : NULL;

	if (!send || send->is_over)
		return migrate_fail(shell, "E-NO-SUCH-MOVE", args->word[0],
				    "it is not being moved from here");
	send_cancel(send);
	if (!send->is_over)
		shell_print(shell, "it was given away already: %s is asked to give it back\n",
			    send->receipt.to);
	return CMD_OK;
}

SHELL_COMMAND(migrate_cancel) = {
	.noun = "migrate",
	.verb = "cancel",
	.usage = "migrate cancel NAME",
	.help = "the guest stays here",
	.min_words = 1,
	.max_words = 1,
	.run = run_cancel,
	.complete = vm_complete,
};

static enum cmd_result run_history(struct shell *shell, const struct cmd_args *args)
{
	const struct kept_receipt *kept;

	(void)args;
	json_open_array(shell, "receipts");
	for (u32 i = 0; (kept = receipt_nth(i)); i++) {
		const struct receipt *receipt = &kept->receipt;
		char id[RECEIPT_ID_MAX];

		receipt_id(receipt->session, id);
		shell_print(shell, "%s  %-16s %s to %s: %s, total %llu us, stun %llu us %s\n", id,
			    receipt->vm, receipt->from, receipt->to,
			    receipt_result_name(receipt->result), (ull)receipt->total_us,
			    (ull)receipt->stun_us, receipt->code);
		json_open_object(shell, NULL);
		json_string(shell, "id", id);
		json_string(shell, "vm", receipt->vm);
		json_string(shell, "from", receipt->from);
		json_string(shell, "to", receipt->to);
		json_string(shell, "result", receipt_result_name(receipt->result));
		json_string(shell, "error", receipt->code);
		json_u64(shell, "total_us", receipt->total_us);
		json_u64(shell, "stun_us", receipt->stun_us);
		json_close_object(shell);
	}
	json_close_array(shell);
	return CMD_OK;
}

SHELL_COMMAND(migrate_history) = {
	.noun = "migrate",
	.verb = "history",
	.usage = "migrate history",
	.help = "receipts that are kept here",
	.run = run_history,
};

static enum cmd_result run_receipt(struct shell *shell, const struct cmd_args *args)
{
	const struct kept_receipt *kept = receipt_find(args->count ? args->word[0] : NULL);

	if (!kept)
		return migrate_fail(shell, "E-NO-SUCH-MOVE", "receipt", "there is none (migrate history)");
	receipt_show(shell, kept);
	return CMD_OK;
}

SHELL_COMMAND(migrate_receipt) = {
	.noun = "migrate", .verb = "receipt", .usage = "migrate receipt [ID]",
	.help = "what a move cost; the newest without ID", .max_words = 1, .run = run_receipt,
};
