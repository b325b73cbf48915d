// One CUDA device without a driver: what torch's autograd asks about streams, the current device and its context is
// answered, and nothing is done. Takes the place of torch's own guard and hooks while the tests pretend.

#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <utility>

namespace {

constexpr auto kCuda = c10::DeviceType::CUDA;

struct OneDevice final : c10::impl::NoOpDeviceGuardImpl<kCuda> {
  c10::Device exchangeDevice(c10::Device) const override { return {kCuda, 0}; }
  c10::Device getDevice() const override { return {kCuda, 0}; }
  c10::Stream getStream(c10::Device) const noexcept override { return only(); }
  c10::Stream getDefaultStream(c10::Device) const override { return only(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return only(); }

  static c10::Stream only() { return c10::Stream(c10::Stream::DEFAULT, c10::Device(kCuda, 0)); }
};

struct Hooks final : at::CUDAHooksInterface {
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  long versionCuDNN() const override { return 0; }
  long versionRuntimeCuDNN() const override { return 0; }
};

const OneDevice one_device;
Hooks hooks;
const c10::impl::DeviceGuardImplInterface* guard = &one_device;

}  // namespace

// Called once to begin and once to end. torch hands out one object of hooks for its whole life, so that its table of
// functions is what changes places.
extern "C" void change_places() {
  guard = c10::impl::device_guard_impl_registry[static_cast<size_t>(kCuda)].exchange(guard);
  auto& torchs = const_cast<at::CUDAHooksInterface&>(at::detail::getCUDAHooks());
  std::swap(*reinterpret_cast<void**>(&torchs), *reinterpret_cast<void**>(&hooks));
}
