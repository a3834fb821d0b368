/* SPDX-License-Identifier: BSD-2-Clause */
/* The words for errno values, as messages show them. Any CPU, any context. */
#include "kernel/errno.h"

#include "kernel/types.h"

static const struct {
	int value;
	const char *name;
} errno_table[] = {
	{ EPERM, "EPERM" },
	{ ENOENT, "ENOENT" },
	{ EIO, "EIO" },
	{ E2BIG, "E2BIG" },
	{ EAGAIN, "EAGAIN" },
	{ ENOMEM, "ENOMEM" },
	{ EFAULT, "EFAULT" },
	{ EBUSY, "EBUSY" },
	{ EEXIST, "EEXIST" },
	{ ENODEV, "ENODEV" },
	{ EINVAL, "EINVAL" },
	{ ENOSPC, "ENOSPC" },
	{ ERANGE, "ERANGE" },
	{ ENAMETOOLONG, "ENAMETOOLONG" },
	{ ENOSYS, "ENOSYS" },
	{ EPROTO, "EPROTO" },
	{ EBADMSG, "EBADMSG" },
	{ EOVERFLOW, "EOVERFLOW" },
	{ EOPNOTSUPP, "EOPNOTSUPP" },
	{ EADDRINUSE, "EADDRINUSE" },
	{ ENETUNREACH, "ENETUNREACH" },
	{ ECONNABORTED, "ECONNABORTED" },
	{ ECONNRESET, "ECONNRESET" },
	{ ENOBUFS, "ENOBUFS" },
	{ ENOTCONN, "ENOTCONN" },
	{ ETIMEDOUT, "ETIMEDOUT" },
	{ ECONNREFUSED, "ECONNREFUSED" },
	{ EHOSTUNREACH, "EHOSTUNREACH" },
	{ ECANCELED, "ECANCELED" },
};

const char *errno_name(int err)
{
	/* Compared on the negative side, where INT_MIN has no trouble. */
	int wanted = err > 0 ? -err : err;

	if (wanted == 0)
		return "success";
	for (size_t i = 0; i < ARRAY_COUNT(errno_table); i++) {
		if (-errno_table[i].value == wanted)
			return errno_table[i].name;
	}
	return "unknown error";
}
