/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files in \tern of the boot volume, each read into pages of its own below 4 GiB. What was
 * started from a network has no volume: boot/efi_net.c fetches its files.
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

struct boot_file *file_begin(struct handoff *handoff, const char *name, u64 bytes)
{
	struct boot_file *file = &handoff->file[handoff->info.file_count];
	u32 i;

	if (handoff->info.file_count == LOADER_FILE_MAX) {
		loader_complain(handoff, "more than 64 files: the rest is ignored, move some elsewhere", name);
		return NULL;
	}
	for (i = 0; name[i] && i < BOOT_FILE_NAME_MAX - 1; i++)
		file->name[i] = name[i];
	file->name[i] = '\0';
	file->bytes = bytes;
	file->address = bytes < 4 * GIB ? loader_allocate(EfiLoaderData, MAX(bytes, 1u)) : 0;
	if (!file->address) {
		loader_complain(handoff, "does not fit in the memory below 4 GiB: make it smaller or add memory", name);
		return NULL;
	}
	return file;
}

static void read_file(struct handoff *handoff, EFI_FILE_HANDLE directory, EFI_FILE_INFO *entry)
{
	char name[BOOT_FILE_NAME_MAX];
	struct boot_file *to;
	EFI_FILE_HANDLE file;

	if (!copy_name(name, entry->FileName)) {
		loader_complain(handoff, "a name longer than 63 characters or not in plain ASCII: rename the file", name);
		return;
	}
	if (EFI_ERROR(directory->Open(directory, &file, entry->FileName, EFI_FILE_MODE_READ, 0))) {
		loader_complain(handoff, "cannot be opened: check the boot volume", name);
		return;
	}
	to = file_begin(handoff, name, entry->FileSize);
	if (to && read_all(file, to->address, to->bytes))
		handoff->info.file_count++;
	else if (to)
		loader_complain(handoff, "cannot be read to its end: check the boot volume", name);
	file->Close(file);
}

static void read_directory(struct handoff *handoff, EFI_FILE_HANDLE directory)
{
	union file_entry entry;

	for (;;) {
		UINTN bytes = sizeof(entry);

		if (EFI_ERROR(directory->Read(directory, &bytes, &entry))) {
			loader_complain(handoff, "the directory cannot be read to its end: check the boot volume",
					"\\tern");
			return;
		}
		if (bytes == 0)
			return;
		if (!(entry.info.Attribute & EFI_FILE_DIRECTORY))
			read_file(handoff, directory, &entry.info);
	}
}

/* The folder of boot files, or NULL; has_volume: there could have been one. */
static EFI_FILE_HANDLE open_directory(EFI_HANDLE device, bool *has_volume)
{
	static EFI_GUID guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_FILE_IO_INTERFACE *volume;
	EFI_FILE_HANDLE root, directory;
	EFI_STATUS status;

	*has_volume = !EFI_ERROR(BS->HandleProtocol(device, &guid, (void **)&volume)) &&
		      !EFI_ERROR(volume->OpenVolume(volume, &root));
	if (!*has_volume)
		return NULL;
	status = root->Open(root, &directory, DIRECTORY, EFI_FILE_MODE_READ, 0);
	root->Close(root);
	return EFI_ERROR(status) ? NULL : directory;
}

/* A network card has no volume, or, as iPXE makes it, one without the folder. */
void files_read(struct handoff *handoff, EFI_HANDLE image)
{
	static EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
	EFI_FILE_HANDLE directory = NULL;
	EFI_LOADED_IMAGE *loaded = NULL;
	bool has_volume = false;

	if (!EFI_ERROR(BS->HandleProtocol(image, &guid, (void **)&loaded)))
		directory = open_directory(loaded->DeviceHandle, &has_volume);
	if (directory) {
		read_directory(handoff, directory);
		directory->Close(directory);
		return;
	}
	if (loaded && files_fetch(handoff, loaded->DeviceHandle))
		return;
	if (has_volume)
		loader_complain(handoff, "the boot volume has no directory \\tern: make it and put tern.conf there", "");
	else
		loader_complain(handoff, "started neither from a volume with files nor by PXE, so there is no \\tern: "
				"start from a FAT partition or CD, or give the whole image (tern.iso) to HTTP boot", "");
}
