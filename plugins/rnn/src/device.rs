//! The devices on which candle computes.

use candle_core::Device;
use pallium_core::prelude::*;

pallium_core::choice! {
    /// The device that computes.
    pub enum DeviceName {
        /// The processor.
        Cpu = "cpu",
        /// The first NVIDIA graphics processor, if the plugin is built with the
        /// feature `cuda`.
        Cuda = "cuda",
        /// The first graphics processor of a Mac, if the plugin is built with the
        /// feature `metal`.
        Metal = "metal",
    }
}

impl DeviceName {
    /// The device.
    pub fn open(self) -> Result<Device> {
        let (name, built, opened) = match self {
            DeviceName::Cpu => return Ok(Device::Cpu),
            DeviceName::Cuda => ("cuda", cfg!(feature = "cuda"), Device::new_cuda(0)),
            DeviceName::Metal => ("metal", cfg!(feature = "metal"), Device::new_metal(0)),
        };
        opened.map_err(|error| {
            if built {
                return Error::input(format!("the device `{name}` cannot be opened: {error}"))
                    .help("check that this machine has it, with its driver, or set device = \"cpu\"");
            }
            Error::unsupported(format!("this plugin was built without the device `{name}`")).help(format!(
                "build it with `cargo build --release -p pallium-rnn --features {name}`, or set \
                 device = \"cpu\""
            ))
        })
    }
}
