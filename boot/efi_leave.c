/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the firmware's services, and its memory map in the core's words.
 *
 * UEFI 7.4.6: ExitBootServices() takes the key of the newest map and fails if the map has
 * changed since, which an event handler of the firmware may do at any moment. After the first
 * failure nothing may be called but GetMemoryMap() and ExitBootServices() again.
 */
#include "boot/efi.h"
#include "boot/mem_map.h"

#define ATTEMPTS 8
#define OWN_RANGES (LOADER_FILE_MAX + 3) /* files, core, its tables, struct handoff */
#define SLACK_BYTES 8192 /* the map grows by our own allocation of its buffer */

struct firmware_map {
	u8 *bytes;
	UINTN capacity, size, key, entry_bytes;
};

static EFI_STATUS map_get(struct firmware_map *map)
{
	UINT32 version;

	map->size = map->capacity;
	return BS->GetMemoryMap(&map->size, (EFI_MEMORY_DESCRIPTOR *)map->bytes, &map->key, &map->entry_bytes,
				&version);
}

static bool map_allocate(struct firmware_map *map)
{
	map->capacity = 0;
	map_get(map);
	map->capacity = map->size + SLACK_BYTES;
	return !EFI_ERROR(BS->AllocatePool(EfiLoaderData, map->capacity, (void **)&map->bytes));
}

static enum boot_mem_type mem_type(UINT32 type)
{
	switch (type) {
	case EfiConventionalMemory:
	case EfiBootServicesCode:
	case EfiBootServicesData:
		return BOOT_MEM_USABLE;
	case EfiLoaderCode: /* the loader runs here until the core is on its own tables */
	case EfiLoaderData:
		return BOOT_MEM_LOADER;
	case EfiACPIReclaimMemory:
		return BOOT_MEM_ACPI;
	case EfiACPIMemoryNVS:
		return BOOT_MEM_NVS;
	case EfiMemoryMappedIO:
	case EfiMemoryMappedIOPortSpace:
		return BOOT_MEM_MMIO;
	case EfiUnusableMemory:
		return BOOT_MEM_BAD;
	default: /* runtime services, PAL code, persistent memory, what is not invented yet */
		return BOOT_MEM_RESERVED;
	}
}

static bool add_types(struct mem_map *to, const struct firmware_map *from, bool is_usable)
{
	bool has_room = true;
	UINTN at;

	for (at = 0; at + from->entry_bytes <= from->size; at += from->entry_bytes) {
		const EFI_MEMORY_DESCRIPTOR *entry = (const EFI_MEMORY_DESCRIPTOR *)(from->bytes + at);
		enum boot_mem_type type = mem_type(entry->Type);

		if ((type == BOOT_MEM_USABLE) == is_usable)
			has_room &= mem_map_set(to, entry->PhysicalStart,
						entry->NumberOfPages * EFI_PAGE_SIZE, type);
	}
	return has_room;
}

/* The firmware is gone: nothing here may call it, so a full map is left for the core to tell. */
static void convert(struct handoff *handoff, const struct firmware_map *from)
{
	static const char full[] = "the firmware's memory map has too many entries: some memory is not used";
	struct boot_info *info = &handoff->info;
	struct mem_map to = { .entry = handoff->mem, .max = LOADER_MEM_MAX - OWN_RANGES * MEM_MAP_ROOM };
	bool has_room = add_types(&to, from, true);
	u32 i;

	has_room &= add_types(&to, from, false);
	to.max = LOADER_MEM_MAX;
	mem_map_set(&to, core_tables_address, core_tables_bytes, BOOT_MEM_LOADER);
	mem_map_set(&to, info->core_address, info->core_bytes, BOOT_MEM_LOADED);
	mem_map_set(&to, (u64)handoff, sizeof(*handoff), BOOT_MEM_LOADED);
	for (i = 0; i < info->file_count; i++)
		mem_map_set(&to, handoff->file[i].address, handoff->file[i].bytes, BOOT_MEM_LOADED);
	info->mem_count = to.count;
	if (!has_room && !info->complaint) {
		for (i = 0; i < sizeof(full); i++)
			handoff->complaint[i] = full[i];
		info->complaint = (u64)handoff->complaint;
	}
}

bool leave_firmware(struct handoff *handoff, EFI_HANDLE image)
{
	struct firmware_map map = { 0 };
	u32 attempt;

	if (!map_allocate(&map)) {
		Print(L"tern: no memory for the memory map: give the machine more memory\r\n");
		return false;
	}
	for (attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (EFI_ERROR(map_get(&map)))
			break;
		if (!EFI_ERROR(BS->ExitBootServices(image, map.key))) {
			convert(handoff, &map);
			return true;
		}
	}
	Print(L"tern: the firmware does not end its services (ExitBootServices): update the firmware\r\n");
	return false;
}
