/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The newc format (cpio(5) of libarchive): per member a header of ASCII text, the name with
 * its NUL, padding to 4, the data, padding to 4; the end is a member named TRAILER!!!.
 *
 *	"070701" ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor
 *	namesize check          (each 8 hexadecimal digits)
 */
#include "boot/cpio.h"

#define HEADER_BYTES 110
#define FIELD_MODE 1
#define FIELD_FILE_BYTES 6
#define FIELD_NAME_BYTES 11

#define MODE_TYPE 0170000
#define MODE_REGULAR 0100000

static bool same(const char *a, const char *b, u64 bytes)
{
	while (bytes && *a == *b) {
		a++;
		b++;
		bytes--;
	}
	return bytes == 0;
}

static bool read_field(const char *header, unsigned index, u32 *out)
{
	const char *digit = header + 6 + 8 * index;
	u32 value = 0;
	unsigned i;

	for (i = 0; i < 8; i++) {
		char c = digit[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (u32)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | (u32)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

enum cpio_result cpio_next(struct cpio *cpio, struct cpio_member *member)
{
	static const char trailer[] = "TRAILER!!!";
	const char *header;
	u32 name_bytes, file_bytes;
	u64 data_at;

	/* All lengths are below 2^32 and size is an object's, so no sum of them wraps. */
	if (cpio->at > cpio->size || cpio->size - cpio->at < HEADER_BYTES)
		return CPIO_BROKEN;
	header = cpio->bytes + cpio->at;
	if (!same(header, "07070", 5) || (header[5] != '1' && header[5] != '2') ||
	    !read_field(header, FIELD_MODE, &member->mode) ||
	    !read_field(header, FIELD_FILE_BYTES, &file_bytes) ||
	    !read_field(header, FIELD_NAME_BYTES, &name_bytes))
		return CPIO_BROKEN;
	data_at = ALIGN_UP(cpio->at + HEADER_BYTES + name_bytes, 4);
	if (name_bytes == 0 || data_at > cpio->size || cpio->size - data_at < file_bytes)
		return CPIO_BROKEN;
	member->name = header + HEADER_BYTES;
	if (member->name[name_bytes - 1] != '\0')
		return CPIO_BROKEN;
	member->data = cpio->bytes + data_at;
	member->bytes = file_bytes;
	cpio->at = ALIGN_UP(data_at + file_bytes, 4);
	if (name_bytes == sizeof(trailer) && same(member->name, trailer, sizeof(trailer)))
		return CPIO_END;
	return CPIO_MEMBER;
}

bool cpio_is_regular_file(const struct cpio_member *member)
{
	return (member->mode & MODE_TYPE) == MODE_REGULAR;
}
