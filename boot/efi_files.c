/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files in \tern of the boot volume, each read into pages of its own below 4 GiB.
 *
 * Nothing here is fatal: the core says what it misses. The volume is not trusted: sizes and
 * names are checked, and a file that does not fit is skipped whole.
 */
#include "boot/efi.h"

#define DIRECTORY L"\\tern"
#define READ_CHUNK_BYTES (16 * MIB) /* some firmware fails on reads of 4 GiB and more */

/* A directory entry: EFI_FILE_INFO with a name of up to 255 characters behind it. */
union file_entry {
	EFI_FILE_INFO info;
	char bytes[offsetof(EFI_FILE_INFO, FileName) + 256 * sizeof(CHAR16)];
};

/* False if the name is too long or not plain ASCII; to then holds what could be told. */
static bool copy_name(char *to, const CHAR16 *from)
{
	u32 i;

	for (i = 0; i < BOOT_FILE_NAME_MAX - 1 && from[i]; i++) {
		if (from[i] < ' ' || from[i] > '~')
			break;
		to[i] = (char)from[i];
	}
	to[i] = '\0';
	return from[i] == 0 && i > 0;
}

static bool read_all(EFI_FILE_HANDLE file, u64 address, u64 bytes)
{
	u64 done = 0;

	while (done < bytes) {
		UINTN chunk = MIN(bytes - done, READ_CHUNK_BYTES);

		if (EFI_ERROR(file->Read(file, &chunk, (void *)(address + done))) || chunk == 0)
			return false;
		done += chunk;
	}
	return true;
}

static void read_file(struct handoff *handoff, EFI_FILE_HANDLE directory, EFI_FILE_INFO *entry)
{
	struct boot_info *info = &handoff->info;
	struct boot_file *to = &handoff->file[info->file_count];
	EFI_FILE_HANDLE file;

	if (info->file_count == LOADER_FILE_MAX) {
		loader_complain(handoff, "more than 64 files: the rest is ignored, move some elsewhere", "\\tern");
		return;
	}
	if (!copy_name(to->name, entry->FileName)) {
		loader_complain(handoff, "a name longer than 63 characters or not in plain ASCII: rename the file",
				to->name);
		return;
	}
	if (EFI_ERROR(directory->Open(directory, &file, entry->FileName, EFI_FILE_MODE_READ, 0))) {
		loader_complain(handoff, "cannot be opened: check the boot volume", to->name);
		return;
	}
	to->bytes = entry->FileSize;
	to->address = to->bytes < 4 * GIB ? loader_allocate(EfiLoaderData, MAX(to->bytes, 1u)) : 0;
	if (!to->address)
		loader_complain(handoff, "does not fit in the memory below 4 GiB: make it smaller or add memory",
				to->name);
	else if (!read_all(file, to->address, to->bytes))
		loader_complain(handoff, "cannot be read to its end: check the boot volume", to->name);
	else
		info->file_count++;
	file->Close(file);
}

static EFI_FILE_HANDLE open_directory(struct handoff *handoff, EFI_HANDLE image)
{
	static EFI_GUID image_guid = LOADED_IMAGE_PROTOCOL;
	static EFI_GUID volume_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_LOADED_IMAGE *loaded;
	EFI_FILE_IO_INTERFACE *volume;
	EFI_FILE_HANDLE root, directory;
	EFI_STATUS status;

	if (EFI_ERROR(BS->HandleProtocol(image, &image_guid, (void **)&loaded)) ||
	    EFI_ERROR(BS->HandleProtocol(loaded->DeviceHandle, &volume_guid, (void **)&volume)) ||
	    EFI_ERROR(volume->OpenVolume(volume, &root))) {
		loader_complain(handoff, "not started from a volume with files, so there is no \\tern: "
				"start from a FAT partition or CD", "");
		return NULL;
	}
	status = root->Open(root, &directory, DIRECTORY, EFI_FILE_MODE_READ, 0);
	root->Close(root);
	if (EFI_ERROR(status)) {
		loader_complain(handoff, "the boot volume has no directory \\tern: make it and put tern.conf there", "");
		return NULL;
	}
	return directory;
}

void files_read(struct handoff *handoff, EFI_HANDLE image)
{
	EFI_FILE_HANDLE directory = open_directory(handoff, image);
	union file_entry entry;

	if (!directory)
		return;
	for (;;) {
		UINTN bytes = sizeof(entry);

		if (EFI_ERROR(directory->Read(directory, &bytes, &entry))) {
			loader_complain(handoff, "the directory cannot be read to its end: check the boot volume",
					"\\tern");
			break;
		}
		if (bytes == 0)
			break;
		if (!(entry.info.Attribute & EFI_FILE_DIRECTORY))
			read_file(handoff, directory, &entry.info);
	}
	directory->Close(directory);
}
