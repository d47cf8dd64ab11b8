/* SPDX-License-Identifier: MIT */
/*
 * xrt-shim.cpp - see xrt-shim.h. The one C++ file: XRT's C++ interface behind functions that throw nothing.
 *
 * Every function's body stands in `guarded`, which turns whatever is thrown into errno and text. Nothing is static, so
 * nothing is destroyed behind the caller's back.
 */
#include "daemon/xrt/xrt-shim.h"

#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_hw_context.h>
#include <xrt/xrt_kernel.h>
#include <xrt/experimental/xrt_xclbin.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

static_assert(int{XRT_SHIM_STATE_COMPLETED} == int{ERT_CMD_STATE_COMPLETED}, "XRT's numbers");
static_assert(int{XRT_SHIM_STATE_ERROR} == int{ERT_CMD_STATE_ERROR}, "XRT's numbers");
static_assert(int{XRT_SHIM_STATE_ABORT} == int{ERT_CMD_STATE_ABORT}, "XRT's numbers");
static_assert(int{XRT_SHIM_STATE_SUBMITTED} == int{ERT_CMD_STATE_SUBMITTED}, "XRT's numbers");
static_assert(int{XRT_SHIM_STATE_TIMEOUT} == int{ERT_CMD_STATE_TIMEOUT}, "XRT's numbers");

/* Arguments of the kernel: opcode, instructions, their words, and from 3 on the buffer objects that a stream names. */
enum { ARG_OPCODE = 0, ARG_INSTRUCTIONS, ARG_WORDS, ARG_BUFFERS };

#define OPCODE_TXN 3U /* instructions are a TXN stream */

struct xrt_shim_device {
        xrt::device device;
        xrt::xclbin program;
        xrt::hw_context context;
        xrt::kernel kernel;
};

struct xrt_shim_buffer {
        xrt::bo bo;
};

struct xrt_shim_run {
        xrt::run run;
};

namespace
{

void text_copy(char *to, size_t size, const char *from)
{
        const size_t n = from == nullptr ? 0 : strnlen(from, size - 1);

        if (n > 0)
                memcpy(to, from, n);
        to[n] = '\0';
}

void error_set(struct xrt_shim_error *ret_error, int error, const char *text)
{
        ret_error->error = std::abs(error); /* some of XRT's codes are negative */
        text_copy(ret_error->text, sizeof ret_error->text, text);
}

template <typename Body> int guarded(struct xrt_shim_error *ret_error, Body body) noexcept
{
        try {
                body();
                return 0;
        } catch (const std::system_error &e) {
                error_set(ret_error, e.code().value(), e.what());
        } catch (const std::bad_alloc &) {
                error_set(ret_error, ENOMEM, "out of memory");
        } catch (const std::exception &e) {
                error_set(ret_error, 0, e.what());
        } catch (...) {
                error_set(ret_error, 0, "an exception that is none of the standard library's");
        }
        return XRT_SHIM_E_THROWN;
}

/* A text of the device's, or none. */
template <xrt::info::device what> void info_read(const xrt::device &device, char *text, size_t size) noexcept
{
        struct xrt_shim_error ignored;

        text[0] = '\0';
        (void)guarded(&ignored, [&] { text_copy(text, size, device.get_info<what>().c_str()); });
}

} // namespace

int xrt_shim_device_open(struct xrt_shim_device **ret_device, struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                auto *device = new xrt_shim_device{};

                try {
                        device->device = xrt::device{0U};
                } catch (...) {
                        delete device;
                        throw;
                }
                *ret_device = device;
        });
}

int xrt_shim_device_program(struct xrt_shim_device *device, const uint8_t *xclbin, size_t xclbin_bytes,
                            struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                const auto *first = reinterpret_cast<const char *>(xclbin);

                device->program = xrt::xclbin{std::vector<char>{first, first + xclbin_bytes}};
                (void)device->device.register_xclbin(device->program);
        });
}

int xrt_shim_device_context(struct xrt_shim_device *device, const char *kernel,
                            struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                device->context = xrt::hw_context{device->device, device->program.get_uuid()};
                device->kernel = xrt::kernel{device->context, kernel};
        });
}

void xrt_shim_device_info(const struct xrt_shim_device *device, struct xrt_shim_info *ret_info)
{
        info_read<xrt::info::device::name>(device->device, ret_info->name, sizeof ret_info->name);
        info_read<xrt::info::device::bdf>(device->device, ret_info->bdf, sizeof ret_info->bdf);
        info_read<xrt::info::device::platform>(device->device, ret_info->platform, sizeof ret_info->platform);
        info_read<xrt::info::device::host>(device->device, ret_info->host, sizeof ret_info->host);
}

int xrt_shim_buffer_new(struct xrt_shim_device *device, unsigned arg, size_t size_bytes,
                        struct xrt_shim_buffer **ret_buffer, uint8_t **ret_bytes,
                        struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                const bool is_data = arg < XRT_SHIM_ARGS;
                const int index =
                        is_data ? ARG_BUFFERS + static_cast<int>(arg) : static_cast<int>(ARG_INSTRUCTIONS);
                const auto group = static_cast<xrt::memory_group>(device->kernel.group_id(index));
                const auto flags = is_data ? xrt::bo::flags::host_only : xrt::bo::flags::cacheable;
                xrt::bo bo{device->device, size_bytes, flags, group};
                auto *bytes = bo.map<uint8_t *>();

                *ret_buffer = new xrt_shim_buffer{std::move(bo)};
                *ret_bytes = bytes;
        });
}

struct xrt_shim_buffer *xrt_shim_buffer_free(struct xrt_shim_buffer *buffer)
{
        struct xrt_shim_error ignored;

        (void)guarded(&ignored, [&] { delete buffer; });
        return nullptr;
}

int xrt_shim_buffer_sync(struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction,
                         size_t offset_bytes, size_t n_bytes, struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                buffer->bo.sync(direction == XRT_SHIM_TO_DEVICE ? XCL_BO_SYNC_BO_TO_DEVICE
                                                                : XCL_BO_SYNC_BO_FROM_DEVICE,
                                n_bytes, offset_bytes);
        });
}

int xrt_shim_run_new(struct xrt_shim_device *device, struct xrt_shim_run **ret_run,
                     struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] { *ret_run = new xrt_shim_run{xrt::run{device->kernel}}; });
}

int xrt_shim_run_start(struct xrt_shim_run *run, struct xrt_shim_buffer *instructions, uint32_t n_words,
                       struct xrt_shim_buffer *const args[XRT_SHIM_ARGS], struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                run->run.set_arg(ARG_OPCODE, OPCODE_TXN);
                run->run.set_arg(ARG_INSTRUCTIONS, instructions->bo);
                run->run.set_arg(ARG_WORDS, n_words);
                for (int i = 0; i < XRT_SHIM_ARGS; i++)
                        run->run.set_arg(ARG_BUFFERS + i, args[i]->bo);
                run->run.start();
        });
}

/*
 * Where the driver has sync objects, XRT takes a wait that is over for an end, finds a state that it does not expect,
 * and throws a bare runtime_error. The state is what tells.
 */
int xrt_shim_run_wait(struct xrt_shim_run *run, unsigned timeout_ms, int *ret_state,
                      struct xrt_shim_error *ret_error)
{
        return guarded(ret_error, [&] {
                try {
                        (void)run->run.wait2(std::chrono::milliseconds{timeout_ms});
                        *ret_state = run->run.state();
                } catch (const xrt::run::command_error &e) {
                        *ret_state = e.get_command_state();
                } catch (const std::system_error &) {
                        throw;
                } catch (const std::runtime_error &) {
                        *ret_state = run->run.state();
                }
        });
}
