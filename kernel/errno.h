/* SPDX-License-Identifier: BSD-2-Clause */
/* Negative errno values: what functions return when the world is wrong. */
#pragma once

enum {
	EPERM = 1,
	ENOENT = 2,
	EIO = 5,
	E2BIG = 7,
	EAGAIN = 11,
	ENOMEM = 12,
	EFAULT = 14,
	EBUSY = 16,
	EEXIST = 17,
	ENODEV = 19,
	EINVAL = 22,
	ENOSPC = 28,
	ERANGE = 34,
	ENAMETOOLONG = 36,
	ENOSYS = 38,
	EPROTO = 71,
	EBADMSG = 74,
	EOVERFLOW = 75,
	EOPNOTSUPP = 95,
	EADDRINUSE = 98,
	ENETUNREACH = 101,
	ECONNABORTED = 103,
	ECONNRESET = 104,
	ENOBUFS = 105,
	ENOTCONN = 107,
	ETIMEDOUT = 110,
	ECONNREFUSED = 111,
	EHOSTUNREACH = 113,
	ECANCELED = 125,
};

/* The symbolic word for a negative (or positive) errno: "ENOMEM". Never NULL. */
const char *errno_name(int err);
