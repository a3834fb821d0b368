/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot files from the TFTP server that the firmware started the loader from (UEFI 24.3, PXE Base
 * Code Protocol).
 *
 * They are in the folder tern beside the loader's own file. A folder cannot be listed by TFTP, so
 * tern.conf comes first and names the rest: kernels and initial RAM disks of its [vm] sections,
 * and "files" of [host]. Machines that share a server have each a configuration of their own:
 * tern-52-54-00-12-34-56.conf, by the Ethernet address, is taken before tern.conf, as tern.conf.
 */
#include "boot/conf_files.h"
#include "boot/dhcp.h"
#include "boot/efi.h"

#define CONFIG "tern.conf"
#define PATH_MAX 256
/* Of a file: what one unfragmented packet holds, IP, UDP and TFTP headers apart. */
#define BLOCK_BYTES 1468

struct server {
	EFI_PXE_BASE_CODE *pxe;
	EFI_IP_ADDRESS address;
	struct dhcp_start start;
};

static void append(char *to, const char *from)
{
	u32 at = 0;

	while (to[at])
		at++;
	while (*from && at < PATH_MAX - 1)
		to[at++] = *from++;
	to[at] = '\0';
}

static EFI_STATUS transfer(struct server *server, EFI_PXE_BASE_CODE_TFTP_OPCODE what, const char *name, u64 address,
			   UINT64 *bytes)
{
	char path[PATH_MAX] = "";
	UINTN block = BLOCK_BYTES;

	append(path, server->start.folder);
	append(path, "tern/");
	append(path, name);
	return server->pxe->Mtftp(server->pxe, what, (void *)address, FALSE, bytes, &block, &server->address,
				  (UINT8 *)path, NULL, FALSE);
}

/* is_needed: complain if the server does not have it. */
static const struct boot_file *fetch(struct handoff *handoff, struct server *server, const char *from, const char *as,
				     bool is_needed)
{
	struct boot_file *file;
	UINT64 bytes = 0;

	if (EFI_ERROR(transfer(server, EFI_PXE_BASE_CODE_TFTP_GET_FILE_SIZE, from, 0, &bytes))) {
		if (is_needed)
			loader_complain(handoff, "not on the TFTP server: put it into the folder tern beside "
					"BOOTX64.EFI (the server must know the option tsize)", from);
		return NULL;
	}
	file = file_begin(handoff, as, bytes);
	if (!file)
		return NULL;
	if (bytes && EFI_ERROR(transfer(server, EFI_PXE_BASE_CODE_TFTP_READ_FILE, from, file->address, &bytes))) {
		loader_complain(handoff, "cannot be fetched to its end: check the TFTP server and the network", from);
		return NULL;
	}
	file->bytes = MIN(bytes, file->bytes);
	handoff->info.file_count++;
	return file;
}

static bool is_there(const struct handoff *handoff, const char *name)
{
	u32 i;

	for (i = 0; i < handoff->info.file_count; i++) {
		if (strcmpa((const CHAR8 *)handoff->file[i].name, (const CHAR8 *)name) == 0)
			return true;
	}
	return false;
}

static void fetch_all(struct handoff *handoff, struct server *server)
{
	char name[PATH_MAX] = "tern-";
	const struct boot_file *config;
	struct conf_files conf = { 0 };

	append(name, server->start.client);
	append(name, ".conf");
	config = fetch(handoff, server, name, CONFIG, false);
	if (!config)
		config = fetch(handoff, server, CONFIG, CONFIG, true);
	if (!config)
		return;
	conf.text = (const char *)config->address;
	conf.bytes = config->bytes;
	while (conf_files_next(&conf, name)) {
		if (!is_there(handoff, name))
			fetch(handoff, server, name, name, true);
	}
}

/*
 * The answer that named the boot file: of a boot server if there was one, else of a proxy beside
 * the DHCP server, else of the DHCP server itself.
 */
static bool read_answers(const EFI_PXE_BASE_CODE_MODE *mode, struct dhcp_start *start)
{
	return (mode->PxeReplyReceived && dhcp_read(&mode->PxeReply, sizeof(mode->PxeReply), start)) ||
	       (mode->ProxyOfferReceived && dhcp_read(&mode->ProxyOffer, sizeof(mode->ProxyOffer), start)) ||
	       (mode->DhcpAckReceived && dhcp_read(&mode->DhcpAck, sizeof(mode->DhcpAck), start));
}

bool files_fetch(struct handoff *handoff, EFI_HANDLE device)
{
	static EFI_GUID guid = EFI_PXE_BASE_CODE_PROTOCOL_GUID;
	struct server server = { 0 };
	u32 i;

	if (EFI_ERROR(BS->HandleProtocol(device, &guid, (void **)&server.pxe)) || !server.pxe->Mode ||
	    !server.pxe->Mode->Started)
		return false;
	if (server.pxe->Mode->UsingIpv6 || !read_answers(server.pxe->Mode, &server.start)) {
		loader_complain(handoff, "PXE without an IPv4 answer that names a TFTP server brings no files: "
				"set next-server in the DHCP server", "");
		return true;
	}
	for (i = 0; i < 4; i++)
		server.address.v4.Addr[i] = server.start.server[i];
	fetch_all(handoff, &server);
	return true;
}
