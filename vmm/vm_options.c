/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel=F initrd=F cmdline="..." mem=256M vcpus=1 console=com2, at the console and in the
 * sections [vm NAME] of tern.conf; there also autostart=yes. CPU 0 only.
 */
#include "vmm/vm_options.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define DEFAULT_MEM "256M"
#define DEFAULT_VCPUS "1"

const char *const vm_option_keys[] = { "kernel", "initrd", "cmdline", "mem", "vcpus", "console", NULL };

static int bad(const char **key, const char **why, const char *which, const char *text)
{
	*key = which;
	*why = text;
	return -EINVAL;
}

int vm_options_parse(struct vm_config *config, const char *name,
		     const char *(*get)(const void *context, const char *key), const void *context,
		     const char **key, const char **why)
{
	const char *kernel = get(context, "kernel"), *initrd = get(context, "initrd");
	const char *cmdline = get(context, "cmdline"), *console = get(context, "console");
	const char *mem = get(context, "mem"), *vcpus = get(context, "vcpus");
	u64 vcpu_count;

	memset(config, 0, sizeof(*config));
	if (!str_copy(config->name, sizeof(config->name), name))
		return bad(key, why, "NAME", "a name has at most 31 characters");
	if (!kernel)
		return bad(key, why, "kernel", "which file of the boot volume is the kernel?");
	if (!str_copy(config->kernel, sizeof(config->kernel), kernel))
		return bad(key, why, "kernel", "a file name has at most 63 characters");
	if (!str_copy(config->initrd, sizeof(config->initrd), initrd ? initrd : ""))
		return bad(key, why, "initrd", "a file name has at most 63 characters");
	if (!str_copy(config->cmdline, sizeof(config->cmdline), cmdline ? cmdline : ""))
		return bad(key, why, "cmdline", "a command line has at most 2047 characters");
	if (!str_copy(config->console, sizeof(config->console), console ? console : ""))
		return bad(key, why, "console", "a serial port is called com1, com2, com3 or com4");
	if (str_to_bytes(mem ? mem : DEFAULT_MEM, &config->ram_bytes))
		return bad(key, why, "mem", "not a size such as 256M or 4G");
	if (str_to_u64(vcpus ? vcpus : DEFAULT_VCPUS, &vcpu_count) || vcpu_count > VM_VCPUS_MAX)
		return bad(key, why, "vcpus", "not a number from 1 to 16");
	config->vcpu_count = (u32)vcpu_count;
	return 0;
}

/* --- tern.conf --- */

static const char *configured_value(const void *name, const char *key) { return config_get("vm", name, key); }

static bool is_known_key(const char *key)
{
	for (const char *const *known = vm_option_keys; *known; known++) {
		if (!strcmp(*known, key))
			return true;
	}
	return !strcmp(key, "autostart");
}

static void warn_unknown_keys(const char *name)
{
	const char *key, *value;

	for (unsigned i = 0; config_entry("vm", name, i, &key, &value); i++) {
		if (!is_known_key(key))
			log_warn("tern.conf: [vm %s]: there is no key \"%s\"", name, key);
	}
}

static void create_configured(const char *name)
{
	const char *key = "", *why = "", *autostart = config_get("vm", name, "autostart");
	struct vm_config config;
	struct vm *vm;

	warn_unknown_keys(name);
	if (vm_options_parse(&config, name, configured_value, name, &key, &why)) {
		log_error("tern.conf: [vm %s]: %s: %s", name, key, why);
		return;
	}
	if (vm_create(&vm, &config, &why)) {
		log_error("tern.conf: [vm %s]: %s", name, why);
		return;
	}
	if (autostart && !strcmp(autostart, "yes") && vm_start(vm, &why))
		log_error("tern.conf: [vm %s]: cannot start: %s", name, why);
}

void vm_create_configured(void)
{
	const char *name;

	for (unsigned i = 0; (name = config_name("vm", i)); i++)
		create_configured(name);
}
