/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command "net ping ADDRESS": ICMP echo requests (RFC 792), one at a time. One ping runs
 * at a time; it is driven by the shell's tick, answers come from lwIP.
 */
#include "kernel/clock.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "net/link.h"
#include "net/command.h"
#include "net/net.h"
#include "net/netif.h"

#include "lwip/icmp.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/raw.h"

#define PING_ID 0x7e72
#define PING_COUNT 4
#define PING_COUNT_MAX 1000
#define PING_BYTES 56
#define PING_TIMEOUT_NS NS_PER_SEC
#define PING_PAUSE_NS (100 * NS_PER_MS)

SHELL_ERROR(no_answer, "E-NO-ANSWER", "the other host did not answer");

static struct {
	struct raw_pcb *pcb;
	ip_addr_t to;
	const char *text;
	char text_copy[16];
	u16 sequence;        /* of the last request */
	u32 left;            /* requests still to be sent */
	bool is_waiting;
	u64 sent_ns, next_ns;
	u32 sent, answered;
	u64 sum_us, min_us, max_us;
} ping;

static u8_t on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *pbuf, const ip_addr_t *from)
{
	u16 header_bytes = (u16)IPH_HL_BYTES((const struct ip_hdr *)pbuf->payload);
	struct icmp_echo_hdr echo;

	(void)arg;
	(void)pcb;
	if (!ip_addr_eq(from, &ping.to) ||
	    pbuf_copy_partial(pbuf, &echo, sizeof(echo), header_bytes) != sizeof(echo))
		return 0;
	if (ICMPH_TYPE(&echo) != ICMP_ER || echo.id != PP_HTONS(PING_ID) ||
	    lwip_ntohs(echo.seqno) != ping.sequence || !ping.is_waiting)
		return 0;
	u64 us = (clock_now_ns() - ping.sent_ns) / NS_PER_US;

	ping.is_waiting = false;
	ping.answered++;
	ping.sum_us += us;
	ping.min_us = ping.answered == 1 ? us : MIN(ping.min_us, us);
	ping.max_us = MAX(ping.max_us, us);
	pbuf_free(pbuf);
	return 1;
}

static void send_request(void)
{
	struct pbuf *pbuf = pbuf_alloc(PBUF_IP, sizeof(struct icmp_echo_hdr) + PING_BYTES, PBUF_RAM);
	struct icmp_echo_hdr *echo;

	ping.sequence++;
	ping.sent++;
	ping.left--;
	ping.is_waiting = true;
	ping.sent_ns = clock_now_ns();
	ping.next_ns = ping.sent_ns + PING_PAUSE_NS;
	if (!pbuf)
		return; /* and it will not be answered */
	echo = pbuf->payload;
	memset(echo, 0, pbuf->len);
	ICMPH_TYPE_SET(echo, ICMP_ECHO);
	echo->id = PP_HTONS(PING_ID);
	echo->seqno = lwip_htons(ping.sequence);
	echo->chksum = inet_chksum(echo, pbuf->len);
	raw_sendto(ping.pcb, pbuf, &ping.to);
	pbuf_free(pbuf);
	net_kick();
}

static enum cmd_result finish(struct shell *shell)
{
	raw_remove(ping.pcb);
	ping.pcb = NULL;
	json_string(shell, "address", ping.text);
	json_u64(shell, "sent", ping.sent);
	json_u64(shell, "answered", ping.answered);
	if (ping.answered == 0)
		return shell_fail(shell, &no_answer, ping.text, "%u requests, no answer", ping.sent);
	json_u64(shell, "rtt_min_us", ping.min_us);
	json_u64(shell, "rtt_mean_us", ping.sum_us / ping.answered);
	json_u64(shell, "rtt_max_us", ping.max_us);
	shell_print(shell, "%s: %u of %u answered, round trip %llu/%llu/%llu us (least/mean/most)\n", ping.text,
		    ping.answered, ping.sent, (unsigned long long)ping.min_us,
		    (unsigned long long)(ping.sum_us / ping.answered), (unsigned long long)ping.max_us);
	return CMD_OK;
}

static enum cmd_result tick(struct shell *shell, void *context)
{
	u64 now = clock_now_ns();

	(void)context;
	if (ping.is_waiting && now - ping.sent_ns >= PING_TIMEOUT_NS) {
		ping.is_waiting = false;
		shell_print(shell, "%s: request %u not answered\n", ping.text, ping.sequence);
	}
	if (ping.is_waiting || (ping.left > 0 && now < ping.next_ns))
		return CMD_RUNNING;
	if (ping.left == 0)
		return finish(shell);
	send_request();
	return CMD_RUNNING;
}

static void interrupt(struct shell *shell, void *context)
{
	(void)shell;
	(void)context;
	ping.left = 0;
	ping.is_waiting = false;
}

static enum cmd_result net_ping(struct shell *shell, const struct cmd_args *args)
{
	u64 count = PING_COUNT;
	u32 ip;

	if (!net_command_begin(shell, args, ping.pcb, &ip) ||
	    !shell_take_u64(shell, "count", args_option(args, "count"), 1, PING_COUNT_MAX, &count))
		return CMD_FAILED;
	memset(&ping, 0, sizeof(ping));
	ping.pcb = raw_new(IP_PROTO_ICMP);
	if (!ping.pcb)
		return shell_fail(shell, &shell_no_memory, "net ping", "no room for another protocol block");
	raw_recv(ping.pcb, on_icmp, NULL);
	raw_bind(ping.pcb, IP_ADDR_ANY);
	ip_addr_set_ip4_u32_val(ping.to, lwip_htonl(ip));
	net_format_ip(ip, ping.text_copy);
	ping.text = ping.text_copy;
	ping.left = (u32)count;
	send_request();
	return shell_wait(shell, tick, interrupt, NULL);
}

static const char *const ping_options[] = { "count", NULL };

SHELL_COMMAND(net_ping) = {
	.noun = "net",
	.verb = "ping",
	.usage = "net ping ADDRESS [count=4]",
	.help = "does the other host answer, and how fast",
	.min_words = 1,
	.max_words = 1,
	.options = ping_options,
	.run = net_ping,
};
