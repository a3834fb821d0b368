/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VM time and the guest's TSC: one line through two points, and no second clock beside it.
 *
 *   guest TSC = (host TSC x ratio >> 32) + offset              what hardware computes
 *   VM time   = state.ns + ((guest TSC - state.tsc) << shift) x mul >> 32
 *
 * The second formula is the KVM clock's own (Linux Documentation/virt/kvm/x86/msr.rst) with
 * the numbers that the guest gets, so devices, TSC and KVM clock cannot drift apart. While
 * time stands still, state holds the point that it will go on from.
 *
 * A host whose TSC runs at another rate than the guest was told: with TSC scaling, hardware
 * multiplies; without, up to TOLERANCE_PPM the guest's TSC runs at the host's rate (VM time and
 * the KVM clock stay exact, mul follows), and beyond RDTSC is trapped.
 *
 * Reads take no lock: what they read changes only while no vCPU runs.
 */
#include "vmm/vtime.h"
#include "arch/cpu.h"
#include "arch/hv.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "vmm/vm.h"

#define RATIO_ONE (1ull << 32)
#define TOLERANCE_PPM 5000
#define WALL_NS_MAX (1ull << 62)   /* the year 2116 */
#define VM_NS_MAX (1ull << 62)

STATE_BEGIN
struct vtime_state {
	u64 ns;            /* VM time and */
	u64 tsc;           /* the VM's TSC at the same moment: when time last stood still */
	u64 tsc_khz;       /* what the guest was told */
	u64 wall_base_ns;  /* ns since 1970 at VM time 0 */
};
STATE_END

struct vtime_wires {
	u64 ratio;         /* 32.32 */
	u64 offset;
	bool is_trapped;
	bool is_running;
	s8 shift;
	u32 mul;
};

static struct vtime_state *state_of(const struct vm *vm) { return vm->vtime->state; }
static struct vtime_wires *wires_of(const struct vm *vm) { return vm->vtime->wires; }

/* (a x b) >> 32, for a product of up to 96 bits. */
static u64 mul_shift32(u64 a, u64 b) { return (u64)((unsigned __int128)a * b >> 32); }

/* --- scale: TSC ticks to ns --- */

/*
 * mul and shift for a TSC of this rate, with as many bits in mul as fit: a slow clock's ticks
 * are shifted up, a fast one's down. 10^9 < 2^30, so 10^9 << 34 is the largest dividend.
 */
static void scale_find(u64 khz, u32 *mul, s8 *shift)
{
	u64 hz = khz * 1000;
	unsigned up = 0, down = 0;

	while (hz <= NS_PER_SEC) {
		hz <<= 1;
		up++;
	}
	while (down < 2 && (NS_PER_SEC << (32 + down + 1)) / hz <= 0xffffffffull)
		down++;
	*mul = (u32)((NS_PER_SEC << (32 + down)) / hz);
	*shift = (s8)(up - down);
}

static u64 scale_ticks(const struct vtime_wires *wires, u64 ticks)
{
	ticks = wires->shift >= 0 ? ticks << wires->shift : ticks >> -wires->shift;
	return mul_shift32(ticks, wires->mul);
}

/* --- how the guest's TSC is made from the host's --- */

static bool is_within_tolerance(u64 guest_khz, u64 host_khz)
{
	u64 difference = guest_khz > host_khz ? guest_khz - host_khz : host_khz - guest_khz;

	return difference * 1000000 <= guest_khz * TOLERANCE_PPM;
}

static u64 ratio_to_host(u64 guest_khz) { return (guest_khz << 32) / tsc_khz; }

static bool is_scalable(u64 guest_khz)
{
	return hv->limits.tsc_ratio_max && ratio_to_host(guest_khz) <= hv->limits.tsc_ratio_max;
}

bool vtime_would_trap(u64 guest_khz)
{
	return !is_scalable(guest_khz) && !is_within_tolerance(guest_khz, tsc_khz);
}

/* Chooses ratio and trap, and the rate that the guest's TSC then really has. */
static u64 wires_choose(struct vtime_wires *wires, u64 guest_khz)
{
	bool is_the_hosts = guest_khz == tsc_khz ||
			    (!is_scalable(guest_khz) && is_within_tolerance(guest_khz, tsc_khz));

	wires->is_trapped = vtime_would_trap(guest_khz);
	wires->ratio = is_the_hosts ? RATIO_ONE : ratio_to_host(guest_khz);
	return is_the_hosts ? tsc_khz : guest_khz;
}

static u64 tsc_at_host(const struct vtime_wires *wires, u64 host_tsc)
{
	return mul_shift32(host_tsc, wires->ratio) + wires->offset;
}

/* --- the device --- */

static int vtime_check(const void *state)
{
	const struct vtime_state *s = state;

	if (s->tsc_khz < VTIME_TSC_KHZ_MIN || s->tsc_khz > VTIME_TSC_KHZ_MAX)
		return -EINVAL;
	return s->ns <= VM_NS_MAX && s->wall_base_ns <= WALL_NS_MAX ? 0 : -EINVAL;
}

static int vtime_attach(struct device *dev)
{
	dev->vm->vtime = dev;
	return 0;
}

static void vtime_detach(struct device *dev) { dev->vm->vtime = NULL; }

/* Time goes on through a reset of the machine; only what was never set gets a value. */
static void vtime_reset(struct device *dev)
{
	struct vtime_state *state = dev->state;
	struct vtime_wires *wires = dev->wires;

	if (!state->tsc_khz)
		state->tsc_khz = MAX(tsc_khz, VTIME_TSC_KHZ_MIN);
	scale_find(state->tsc_khz, &wires->mul, &wires->shift);
}

static void vtime_device_start(struct device *dev)
{
	struct vtime_state *state = dev->state;
	struct vtime_wires *wires = dev->wires;
	u64 khz = wires_choose(wires, state->tsc_khz);

	scale_find(khz, &wires->mul, &wires->shift);
	wires->offset = state->tsc - mul_shift32(rdtsc(), wires->ratio);
	wires->is_running = true;
	for (u32 i = 0; i < dev->vm->config.vcpu_count; i++) {
		if (dev->vm->vcpu[i])
			dev->vm->vcpu[i]->want_tsc_load = true;
	}
}

static void vtime_device_stop(struct device *dev)
{
	struct vtime_state *state = dev->state;
	struct vtime_wires *wires = dev->wires;
	u64 tsc = tsc_at_host(wires, rdtsc());

	if (!wires->is_running)
		return;
	state->ns += scale_ticks(wires, tsc - state->tsc);
	state->tsc = tsc;
	wires->is_running = false;
}

_Static_assert(sizeof(struct vtime_state) == 32, "vtime: state changed: consider its version");
const struct device_type vtime_type = {
	.name = "vtime", .version = 1, .state_bytes = sizeof(struct vtime_state),
	.wires_bytes = sizeof(struct vtime_wires), .check = vtime_check, .attach = vtime_attach,
	.reset = vtime_reset, .start = vtime_device_start, .stop = vtime_device_stop,
	.detach = vtime_detach,
};
LINKER_SET(".device_types") static const struct device_type *const vtime_type_entry = &vtime_type;

void vtime_add(struct vm *vm, u64 ns)
{
	struct vtime_state *state = state_of(vm);

	state->ns += ns;
	state->tsc += ns / NS_PER_MS * state->tsc_khz + ns % NS_PER_MS * state->tsc_khz / NS_PER_MS;
}

void vtime_load_tsc(struct vcpu *vcpu)
{
	const struct vtime_wires *wires = wires_of(vcpu->vm);

	hv->set_tsc(vcpu->hv, wires->offset + vcpu->tsc_adjust, wires->is_trapped ? RATIO_ONE : wires->ratio,
		    wires->is_trapped);
}

/* --- reading --- */

u64 vtime_tsc_now(const struct vm *vm)
{
	const struct vtime_wires *wires = wires_of(vm);

	return wires->is_running ? tsc_at_host(wires, rdtsc()) : state_of(vm)->tsc;
}

u64 vtime_now_ns(const struct vm *vm)
{
	const struct vtime_state *state = state_of(vm);

	return state->ns + scale_ticks(wires_of(vm), vtime_tsc_now(vm) - state->tsc);
}

u64 vtime_to_host_ns(const struct vm *vm, u64 vm_ns)
{
	u64 now_ns = vtime_now_ns(vm);
	u64 host_ns = clock_now_ns();

	if (!wires_of(vm)->is_running)
		return ~0ull;
	if (vm_ns <= now_ns)
		return host_ns;
	/* Two clocks that both round down: a tick later is never early. */
	return vm_ns - now_ns < ~0ull - host_ns - 2 ? host_ns + (vm_ns - now_ns) + 2 : ~0ull;
}

u64 vtime_tsc_to_ns(const struct vm *vm, u64 tsc)
{
	const struct vtime_state *state = state_of(vm);
	u64 past_ns;

	if ((s64)(tsc - state->tsc) >= 0)
		return state->ns + scale_ticks(wires_of(vm), tsc - state->tsc);
	past_ns = scale_ticks(wires_of(vm), state->tsc - tsc);
	return past_ns < state->ns ? state->ns - past_ns : 0;
}

u64 vtime_tsc_khz(const struct vm *vm) { return state_of(vm)->tsc_khz; }

void vtime_get_scale(const struct vm *vm, struct vtime_scale *scale)
{
	const struct vtime_state *state = state_of(vm);
	const struct vtime_wires *wires = wires_of(vm);

	*scale = (struct vtime_scale){
		.tsc_base = state->tsc, .ns_base = state->ns, .mul = wires->mul, .shift = wires->shift,
	};
}

u64 vtime_wall_base_ns(const struct vm *vm) { return state_of(vm)->wall_base_ns; }

void vtime_set_wall_base(struct vm *vm, u64 ns) { state_of(vm)->wall_base_ns = ns <= WALL_NS_MAX ? ns : 0; }
