/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two hosts in one process, for tests of migrate/: the real migrate/ files, and around them
 * VMs, memory, devices, streams and time that are variables.
 *
 * The guest writes to its memory, its devices and its CPU at every turn while it runs, and a
 * second, perfect copy of it (the oracle) is kept; wherever it is started, memory and state must
 * be the oracle's, and no other copy may run. A write is found by dirty tracking only if its chunk
 * was armed and vCPUs were flushed after, as on hardware.
 *
 * Streams deliver in pieces, can be cut at any record or byte, and damage bytes on demand.
 */
#pragma once

#include "kernel/types.h"
#include "migrate/migrate.h"
#include "migrate/wire.h"
#include "net/stream.h"
#include "vmm/vm.h"

struct fake_host {
	struct migration migration;
	struct list vms;             /* while the other host is the current one */
	char name[32];
	u64 free_chunks;             /* of 2 MiB */
	bool is_off;                 /* answers nobody */
	u32 cpuid_key;               /* policies must carry it */
	char last_error[256];        /* newest log line that is an error or warning */
	u32 error_count;
};

struct fake_vm {
	struct vm vm;
	u32 host;
	u8 *ram;
	u64 *written;                /* by the guest or the door, since collected */
	u64 *armed,
		*armed_flushed; /* chunks; the second when vCPUs have dropped old translations */
	struct vcpu vcpus[VM_VCPUS_MAX];
	struct vcpu_state state[VM_VCPUS_MAX];
	bool is_halting, runs, is_settled;
	u32 halt_delay;              /* turns of vm_is_halted before it is so */
	bool wants_attention;
};

struct oracle {
	u8 *ram;
	u64 ram_bytes;
	u64 ticks;                   /* turns that the guest ran */
	u64 time_ns;                 /* least VM time it may show */
	u32 writes_per_turn;
	u32 working_set;             /* pages it writes to */
	u64 starts;                  /* vm_go calls */
};

extern struct fake_net {
	u32 piece;                   /* longest piece that stream_peek shows */
	u32 bytes_per_turn;          /* each direction */
	u32 answer_ring;             /* bytes that host 2 may have on its way, 0: the whole ring */
	bool is_cut;
	u64 cut_at_record;           /* the link breaks when so many records were begun, 0: never */
	u32 cut_at_type; /* the link breaks when a record of this type begins, 0: never */
	u32 cut_extra;               /* bytes of that record that still arrive */
	u64 damage_at[2]; /* byte to a host with this number (from 1) is changed; 0: none */
	u64 records, bytes_to[2];
	u8 *tape;                    /* if not NULL: all bytes to host 1 */
	u64 tape_bytes, tape_max;
} fake_net;

extern struct fake_host fake_hosts[2];
extern struct oracle oracle;
extern u64 fake_now_ns, fake_turn_ns;

void fake_world_init(void);
/* All VMs, sessions and records gone; asserts that nothing was leaked. */
void fake_world_fini(void);
/* Makes a host the one whose variables migrate/ sees. */
void fake_enter(u32 host);
u32 fake_current_host(void);

/* A running guest on a host. */
struct fake_vm *fake_guest_start(u32 host, const char *name, u64 ram_bytes);
struct fake_vm *fake_vm_on(u32 host, const char *name);
/* 1 if it runs on exactly one of the hosts; which, by where. */
u32 fake_running_count(u32 *where);
/* Memory and state of the running copy are the oracle's. */
void fake_check_guest(void);

/* One turn: both services, network, guest. */
void fake_turn(void);
/* Turns until done() or max; true if done. */
bool fake_run(bool (*done)(void), u32 max);
/* All streams end with an error, as after a long silence. */
void fake_net_break(void);
void fake_net_heal(void);
/* The host loses all it knows, as by a power cut, and starts anew. */
void fake_host_crash(u32 host);
unsigned fake_stream_count(void);

/* What fake_world_init, fake_world_fini and fake_turn ask of guest.c and of stream_fake.c. */
void fake_oracle_init(void);
void fake_oracle_fini(void);
void fake_guests_turn(void);
void fake_net_turn(void);

/* vm_is_busy and vm_is_due say yes this many times more. */
extern unsigned fake_busy_polls, fake_due_polls;
