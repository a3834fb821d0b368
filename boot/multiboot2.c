/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the Multiboot2 boot information to struct boot_info.
 *
 * Called once by boot/multiboot2.S (by way of boot/long_mode.S), under the conditions of
 * boot/collect.c. All that is kept is copied: the information lies in memory that its own map
 * calls usable. A module's string is the name of a boot file; a module without one is a cpio
 * archive of boot files. Section numbers: Multiboot2 Specification version 2.0.
 */
#include "boot/multiboot2.h"

#include "boot/collect.h"

#define TAG_ALIGN 8
#define NAME_BYTES (BOOT_FILE_NAME_MAX + 1) /* one more than fits, so that it is told */
#define RSDP_MAX 64 /* ACPI 5.2.5.3: 36 bytes; a later revision may have more */

/* The core reads the copy of the ACPI root pointer here: the original's place is not told. */
static u8 rsdp[RSDP_MAX];

/* The tag behind this one (the first one for NULL); NULL at the end, or where the list makes no sense. */
static const struct multiboot2_tag *next_tag(const struct multiboot2_info *start, const struct multiboot2_tag *tag)
{
	u64 at = sizeof(*start);

	if (tag)
		at = ALIGN_UP((u64)tag - (u64)start + tag->bytes, TAG_ALIGN);
	if (at > start->bytes || start->bytes - at < sizeof(*tag)) {
		collect_complain("the multiboot2 loader's information is cut short: files or memory may be missing");
		return NULL;
	}
	tag = (const struct multiboot2_tag *)((const u8 *)start + at);
	if (tag->bytes < sizeof(*tag) || tag->bytes > start->bytes - at) {
		collect_complain("the multiboot2 loader's information is damaged: files or memory may be missing");
		return NULL;
	}
	return tag->type == MULTIBOOT2_TAG_END ? NULL : tag;
}

/* The first tag of the type that has at least these many bytes, or NULL. */
static const void *find_tag(const struct multiboot2_info *start, u32 type, u32 bytes)
{
	const struct multiboot2_tag *tag = NULL;

	while ((tag = next_tag(start, tag))) {
		if (tag->type == type && tag->bytes >= bytes)
			return tag;
	}
	return NULL;
}

/* The string at this offset of a tag; empty if the tag ends before the string does. */
static const char *string_of(const struct multiboot2_tag *tag, u32 offset)
{
	const char *string = (const char *)tag;

	if (tag->bytes <= offset || string[tag->bytes - 1] != '\0')
		return "";
	return string + offset;
}

/*
 * A file's name from a module's string. GRUB puts a string with a space in quotes, and a backslash
 * before each quote that is the string's own (grub-core/lib/cmdline.c).
 */
static void copy_name(char *to, u32 size, const char *string)
{
	u32 length = 0;

	for (; *string && length < size - 1; string++) {
		if (*string == '/')
			length = 0;
		else if (*string == '\\' && string[1])
			to[length++] = *++string;
		else if (*string != '"')
			to[length++] = *string;
	}
	to[length] = '\0';
}

static void convert_memory(const struct multiboot2_info *start)
{
	const struct multiboot2_memory_map *map = find_tag(start, MULTIBOOT2_TAG_MEMORY_MAP, sizeof(*map));

	/* 3.6.8: a later version may have longer entries, at multiples of 8. */
	if (!map || map->entry_bytes < sizeof(struct collect_range) || map->entry_bytes % TAG_ALIGN) {
		collect_complain("the multiboot2 loader gave no memory map: use GRUB 2.02 or newer");
		collect_memory(NULL, 0, 0);
		return;
	}
	collect_memory(map + 1, (map->tag.bytes - (u32)sizeof(*map)) / map->entry_bytes, map->entry_bytes);
}

static void convert_module(const struct multiboot2_module *module)
{
	char name[NAME_BYTES];
	u64 bytes = module->end - module->start;

	copy_name(name, sizeof(name), string_of(&module->tag, sizeof(*module)));
	if (module->end < module->start || !collect_is_mapped(module->start, bytes)) {
		collect_complain("the multiboot2 loader gave a module that lies nowhere: it is ignored");
		return;
	}
	if (name[0])
		collect_file(name, module->start, bytes);
	else
		collect_archive(module->start, bytes);
}

static void convert_modules(const struct multiboot2_info *start)
{
	const struct multiboot2_tag *tag = NULL;

	while ((tag = next_tag(start, tag))) {
		if (tag->type == MULTIBOOT2_TAG_MODULE && tag->bytes >= sizeof(struct multiboot2_module))
			convert_module((const struct multiboot2_module *)tag);
	}
}

static void convert_rsdp(const struct multiboot2_info *start, u64 *address)
{
	const struct multiboot2_tag *tag = find_tag(start, MULTIBOOT2_TAG_ACPI_NEW, sizeof(*tag) + 1);
	u32 i;

	if (!tag)
		tag = find_tag(start, MULTIBOOT2_TAG_ACPI_OLD, sizeof(*tag) + 1);
	if (!tag)
		return; /* the core looks for it in the BIOS area */
	for (i = 0; i < MIN(tag->bytes - (u32)sizeof(*tag), RSDP_MAX); i++)
		rsdp[i] = ((const u8 *)(tag + 1))[i];
	*address = collect_physical(rsdp);
}

static void convert_framebuffer(const struct multiboot2_info *start, struct boot_framebuffer *to)
{
	const struct multiboot2_framebuffer *from =
		find_tag(start, MULTIBOOT2_TAG_FRAMEBUFFER, MULTIBOOT2_FRAMEBUFFER_BYTES);

	if (!from)
		return;
	if (from->type == MULTIBOOT2_FRAMEBUFFER_EGA_TEXT) {
		to->kind = BOOT_FRAMEBUFFER_TEXT;
	} else if (from->type == MULTIBOOT2_FRAMEBUFFER_RGB && from->tag.bytes >= MULTIBOOT2_FRAMEBUFFER_RGB_BYTES) {
		to->kind = BOOT_FRAMEBUFFER_PIXELS;
		to->red_shift = from->red_position;
		to->red_bits = from->red_bits;
		to->green_shift = from->green_position;
		to->green_bits = from->green_bits;
		to->blue_shift = from->blue_position;
		to->blue_bits = from->blue_bits;
		to->bits_per_pixel = from->bits_per_pixel;
	} else {
		return; /* 256 colours of a palette: no UEFI and no text mode is like that */
	}
	to->address = from->address;
	to->width = from->width;
	to->height = from->height;
	to->stride_bytes = from->pitch;
}

static void convert_command_line(const struct multiboot2_info *start)
{
	const struct multiboot2_tag *tag = find_tag(start, MULTIBOOT2_TAG_COMMAND_LINE, sizeof(*tag));

	if (tag)
		collect_command_line(string_of(tag, sizeof(*tag)));
}

u64 multiboot2_convert(const struct multiboot2_info *start, u32 magic)
{
	struct boot_info *info = collect_start(BOOT_LOADER_MULTIBOOT2);

	if (magic != MULTIBOOT2_MAGIC || !collect_is_mapped((u64)start, sizeof(*start)) ||
	    !collect_is_mapped((u64)start, start->bytes)) {
		collect_complain("started through the multiboot2 entry, but without multiboot2 information");
		return collect_finish();
	}
	if (find_tag(start, MULTIBOOT2_TAG_EFI_SERVICES, 0))
		collect_complain("the multiboot2 loader left the UEFI firmware running, which Tern did not ask for: "
				 "start Tern's own BOOTX64.EFI instead");
	convert_memory(start);
	convert_modules(start);
	convert_command_line(start);
	convert_rsdp(start, &info->rsdp_address);
	convert_framebuffer(start, &info->framebuffer);
	return collect_finish();
}
