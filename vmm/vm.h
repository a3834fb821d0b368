/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's life: create, start, pause, resume, destroy. CPU 0 only unless noted.
 */
#pragma once

#include "kernel/lock.h"
#include "kernel/list.h"
#include "vmm/bus.h"
#include "vmm/cpuid.h"
#include "vmm/gmem.h"
#include "vmm/vcpu.h"

#define VM_NAME_MAX 32
#define VM_CMDLINE_MAX 2048
#define VM_VCPUS_MAX 16
#define VM_MAX 32

enum vm_state {
	VM_CREATED,    /* never started */
	VM_RUNNING,
	VM_PAUSED,     /* by the operator: time stands still */
	VM_INCOMING,   /* a shell that receives a move; never runs before the hand-over says so */
	VM_STUNNED,    /* stopped for the hand-over by migrate/; only migrate/ starts or frees it */
	VM_STOPPED,    /* powered off by the guest or killed; vm->why says it */
};

struct vm_config {
	char name[VM_NAME_MAX];
	char kernel[64];
	char initrd[64];
	char cmdline[VM_CMDLINE_MAX];
	char console[8];       /* "com2", or "" for the ring buffer */
	u64 ram_bytes;
	u32 vcpu_count;
	u32 reserved;
};

struct vm_console;

struct vm {
	struct list link;
	struct lock lock;      /* devices, bus, interrupt state, vtime */
	struct vm_config config;
	enum vm_state state;
	char why[128];         /* reason of VM_STOPPED */
	struct gmem gmem;
	struct bus bus;
	struct list devices;
	struct vcpu *vcpu[VM_VCPUS_MAX];
	struct cpuid_policy cpuid;
	struct device *lapic[VM_VCPUS_MAX]; /* found often, so kept at hand; each sets its own in attach() */
	struct device *ioapic, *pic, *uart;
	struct device *vtime;  /* vmm/vtime.c */
	struct vm_console *console; /* the guest's first serial port: ring buffer, COM binding, attached shell */
	u8 id[16];             /* for its life, on all hosts; zero until migrate/ first needs it */
	u64 epoch;             /* of ownership; grows with each hand-over (migrate/handover.c) */
	void *migration;       /* migrate/'s own; NULL when the VM is not moving */
	/* Set on any CPU, acted upon by the service of vm.c. */
	bool want_poweroff, want_reset; /* by devices */
	bool is_killed;        /* somebody has taken it upon himself to write why */
	bool want_kill;        /* and why is written */
};

/* Calls body for each VM: list_for_each(vm, &vm_list, struct vm, link). */
extern struct list vm_list;

/* Once, after hv_init: the service, and the VMs of tern.conf. */
void vm_init(void);
struct vm *vm_find(const char *name);
/* Bad values give -EINVAL and *why. The guest's files are loaded at vm_start. */
int vm_create(struct vm **out, const struct vm_config *config, const char **why);
/* For a move: memory reserved and not cleared, devices attached and stopped, state VM_INCOMING. */
int vm_create_incoming(struct vm **out, const struct vm_config *config, const char **why);
/* Its memory has been cleared, in the background: vm_start need not do it and is quick. */
bool vm_is_prepared(const struct vm *vm);
/* Loads the guest's image and runs it. */
int vm_start(struct vm *vm, const char **why);

/*
 * Stopping takes until the last vCPU has left the guest: vm_halt asks (kicks all at once), vm_is_halted
 * says when it is so. vm_settle then stops devices and time: state is complete. vm_go undoes both.
 * vm_pause/vm_resume are the operator's form on top of these and set vm->state.
 */
void vm_halt(struct vm *vm);
bool vm_is_halted(const struct vm *vm);
void vm_settle(struct vm *vm);
void vm_go(struct vm *vm);
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm);

/* ACPI power button. */
int vm_power_button(struct vm *vm);
/* Frees all; the VM is halted first if it runs. Waits at most a few ms for the vCPUs. */
void vm_destroy(struct vm *vm);
/* Any CPU, lock or no lock: the guest did what hardware has no answer for. It stops, its neighbours live. */
void vm_kill(struct vm *vm, const char *why, u64 value);

/*
 * The guest powered off, reset or was killed, and that is not acted upon yet: whoever has halted the VM
 * for a move gives it back (vm_go), since this request does not travel.
 */
bool vm_wants_attention(const struct vm *vm);

/* Called before a VM is freed, halted and settled: migrate/ forgets it. May be NULL. */
extern void (*vm_on_destroy)(struct vm *vm);
