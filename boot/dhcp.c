/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fields at fixed places, then options of (code, length, data). A server may put its address and
 * the boot file's name into either; the fields come first, as in firmware.
 */
#include "boot/dhcp.h"

#define SERVER_AT 20   /* siaddr: the next server */
#define CLIENT_AT 28   /* chaddr */
#define FILE_AT 108
#define FILE_BYTES 128
#define OPTIONS_AT 240 /* behind the cookie */

#define OPTION_PAD 0
#define OPTION_OVERLOAD 52
#define OPTION_SERVER 54
#define OPTION_FILE 67
#define OPTION_END 255

/* The option's data, or NULL. */
static const u8 *find_option(const u8 *packet, u32 bytes, u8 code, u32 *length)
{
	u32 at = OPTIONS_AT;

	while (at + 1 < bytes && packet[at] != OPTION_END) {
		if (packet[at] == OPTION_PAD) {
			at++;
			continue;
		}
		*length = packet[at + 1];
		if (*length > bytes - at - 2)
			return NULL;
		if (packet[at] == code)
			return packet + at + 2;
		at += 2 + *length;
	}
	return NULL;
}

static bool read_server(const u8 *packet, u32 bytes, u8 server[4])
{
	const u8 *from = packet + SERVER_AT;
	u32 length, i;

	if (!(from[0] | from[1] | from[2] | from[3])) {
		from = find_option(packet, bytes, OPTION_SERVER, &length);
		if (!from || length != 4)
			return false;
	}
	for (i = 0; i < 4; i++)
		server[i] = from[i];
	return true;
}

/* All up to the last slash; some servers and firmware write it the other way. */
static void read_folder(const u8 *packet, u32 bytes, char *folder, u32 size)
{
	const u8 *overload, *from = packet + FILE_AT;
	u32 length = 0, i, end = 0;
	bool is_used;

	/* RFC 2132 9.3: options may go on in the field. */
	overload = find_option(packet, bytes, OPTION_OVERLOAD, &length);
	is_used = overload && length && (overload[0] & 1);
	length = FILE_BYTES;
	if (from[0] == '\0' || is_used)
		from = find_option(packet, bytes, OPTION_FILE, &length);
	for (i = 0; from && i < MIN(length, size - 1) && from[i]; i++) {
		folder[i] = from[i] == '\\' ? '/' : (char)from[i];
		if (folder[i] == '/')
			end = i + 1;
	}
	folder[end] = '\0';
}

static void read_client(const u8 *packet, char client[18])
{
	static const char digits[] = "0123456789abcdef";
	u32 i;

	for (i = 0; i < 6; i++) {
		client[3 * i] = digits[packet[CLIENT_AT + i] >> 4];
		client[3 * i + 1] = digits[packet[CLIENT_AT + i] & 15];
		client[3 * i + 2] = '-';
	}
	client[17] = '\0';
}

bool dhcp_read(const void *packet, u32 bytes, struct dhcp_start *start)
{
	if (bytes < OPTIONS_AT || !read_server(packet, bytes, start->server))
		return false;
	read_folder(packet, bytes, start->folder, sizeof(start->folder));
	read_client(packet, start->client);
	return true;
}
