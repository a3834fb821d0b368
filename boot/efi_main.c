/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The UEFI loader: one EFI file that carries the core. It reads the files in \tern of its
 * volume, collects what struct boot_info holds, leaves the firmware and jumps to the core.
 *
 * A file that cannot be read is no reason to stop: the core runs, and its console shows the
 * loader's sentence. What stops the loader is printed here, with what to do, and control
 * goes back to the firmware.
 */
#include "boot/efi.h"

#define BELOW_4_GIB 0xffffffffull
#define STOP_SECONDS 15

/* firmware strings and Print() use UCS-2; "%a" takes ASCII. */
void loader_complain(struct handoff *handoff, const char *sentence, const char *name)
{
	struct boot_info *info = &handoff->info;
	const char *part[] = { name, name[0] ? ": " : "", sentence };
	u32 at = 0, i;

	Print(L"tern: %a%a%a\r\n", part[0], part[1], part[2]);
	if (info->complaint)
		return;
	for (i = 0; i < ARRAY_COUNT(part); i++) {
		const char *from;

		for (from = part[i]; *from && at < LOADER_SENTENCE_MAX - 1; from++)
			handoff->complaint[at++] = *from;
	}
	handoff->complaint[at] = '\0';
	info->complaint = (u64)handoff->complaint;
}

u64 loader_allocate(EFI_MEMORY_TYPE type, u64 bytes)
{
	EFI_PHYSICAL_ADDRESS address = BELOW_4_GIB;

	if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, type, EFI_SIZE_TO_PAGES(bytes), &address)))
		return 0;
	return address;
}

/* UEFI 4.6: the ACPI 2.0 table is the one to take when both are there. */
static u64 find_rsdp(void)
{
	static EFI_GUID acpi_2 = ACPI_20_TABLE_GUID;
	static EFI_GUID acpi_1 = ACPI_TABLE_GUID;
	EFI_GUID *const wanted[] = { &acpi_2, &acpi_1 };
	UINTN i, j;

	for (i = 0; i < ARRAY_COUNT(wanted); i++) {
		for (j = 0; j < ST->NumberOfTableEntries; j++) {
			EFI_CONFIGURATION_TABLE *table = &ST->ConfigurationTable[j];

			if (CompareGuid(&table->VendorGuid, wanted[i]) == 0)
				return (u64)table->VendorTable;
		}
	}
	return 0;
}

/* The lowest bit of a mask and how many there are; false unless they are neighbours. */
static bool color_of_mask(u32 mask, u8 *shift, u8 *bits)
{
	if (!mask)
		return false;
	*shift = (u8)__builtin_ctz(mask);
	*bits = (u8)(32 - __builtin_clz(mask) - *shift);
	return mask >> *shift == (1ull << *bits) - 1;
}

/* UEFI 12.9.2: how a color lies in a pixel. A format without memory behind the picture has none. */
static bool pixels_of_format(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode, struct boot_framebuffer *to)
{
	EFI_PIXEL_BITMASK mask = { 0 };
	u32 all;

	switch (mode->PixelFormat) {
	case PixelRedGreenBlueReserved8BitPerColor:
		mask = (EFI_PIXEL_BITMASK){ 0xff, 0xff00, 0xff0000, 0xff000000 };
		break;
	case PixelBlueGreenRedReserved8BitPerColor:
		mask = (EFI_PIXEL_BITMASK){ 0xff0000, 0xff00, 0xff, 0xff000000 };
		break;
	case PixelBitMask:
		mask = mode->PixelInformation;
		break;
	default:
		break;
	}
	all = mask.RedMask | mask.GreenMask | mask.BlueMask | mask.ReservedMask;
	if (!color_of_mask(mask.RedMask, &to->red_shift, &to->red_bits) ||
	    !color_of_mask(mask.GreenMask, &to->green_shift, &to->green_bits) ||
	    !color_of_mask(mask.BlueMask, &to->blue_shift, &to->blue_bits))
		return false;
	/* A pixel is as many whole bytes as the highest bit of all masks needs. */
	to->bits_per_pixel = (u8)((32 - __builtin_clz(all) + 7) / 8 * 8);
	return true;
}

static void framebuffer_of_mode(const EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE *mode, struct boot_framebuffer *to)
{
	if (!mode || !mode->Info || !mode->FrameBufferBase || !pixels_of_format(mode->Info, to))
		return;
	to->kind = BOOT_FRAMEBUFFER_PIXELS;
	to->address = mode->FrameBufferBase;
	to->width = mode->Info->HorizontalResolution;
	to->height = mode->Info->VerticalResolution;
	to->stride_bytes = mode->Info->PixelsPerScanLine * (to->bits_per_pixel / 8);
}

/* Of several screens, the first that has memory behind its picture. */
static void find_framebuffer(struct boot_framebuffer *to)
{
	static EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_HANDLE *handle = NULL;
	UINTN count = 0, i;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handle)))
		return;
	for (i = 0; i < count && !to->kind; i++) {
		EFI_GRAPHICS_OUTPUT_PROTOCOL *output;

		if (!EFI_ERROR(BS->HandleProtocol(handle[i], &guid, (void **)&output)))
			framebuffer_of_mode(output->Mode, to);
	}
	BS->FreePool(handle);
}

static struct handoff *handoff_create(void)
{
	struct handoff *handoff = (struct handoff *)loader_allocate(EfiLoaderData, sizeof(*handoff));

	if (!handoff) {
		Print(L"tern: no free memory below 4 GiB: give the machine more memory\r\n");
		return NULL;
	}
	SetMem(handoff, sizeof(*handoff), 0);
	handoff->info.magic = BOOT_INFO_MAGIC;
	handoff->info.version = BOOT_INFO_VERSION;
	handoff->info.loader = BOOT_LOADER_UEFI;
	handoff->info.mem = (u64)handoff->mem;
	handoff->info.file = (u64)handoff->file;
	return handoff;
}

static EFI_STATUS stop(void)
{
	Print(L"tern: not started; back to the firmware in %d seconds\r\n", STOP_SECONDS);
	BS->Stall(STOP_SECONDS * 1000 * 1000);
	return EFI_LOAD_ERROR;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	struct handoff *handoff;

	InitializeLib(image, system_table);
	BS->SetWatchdogTimer(0, 0, 0, NULL); /* reading a large guest may take longer than five minutes */
	handoff = handoff_create();
	if (!handoff || !core_place(&handoff->info))
		return stop();
	files_read(handoff, image);
	handoff->info.rsdp_address = find_rsdp();
	find_framebuffer(&handoff->info.framebuffer);
	if (!core_map(&handoff->info) || !leave_firmware(handoff, image))
		return stop();
	core_enter(&handoff->info);
}
