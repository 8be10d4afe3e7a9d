//! How components pass between the host and a separately compiled plugin.
//!
//! This is the only folder of this crate that names `abi_stable` and the only one
//! with `unsafe`. Plugin authors do not need it.
//!
//! - `wire`: the types that cross. Arrays cross as borrowed slices with a shape,
//!   everything else as JSON text, so that only a new method changes a layout.
//! - `convert`: plain types to wire types and back.
//! - `guard`: the plugin's side. Wraps a component, catches its panics and
//!   returns wire types.
//! - `loaded`: the host's side. Wraps a wire object as a component of the same
//!   plain trait.
//! - `last_call`: tells the host which method is entered.
//! - `events`: forwards log events from a plugin to the host.
//! - `headers`: the JSON that accompanies arrays.
//! - `manifest`: the description of a plugin.

mod convert;
mod events;
mod guard;
mod headers;
pub mod last_call;
mod loaded;
mod manifest;
#[allow(
    missing_docs,
    non_local_definitions,
    unsafe_code,
    clippy::allow_attributes,
    reason = "abi_stable's macros generate what these lints object to"
)]
mod wire;

pub use guard::{manifest_json, module, start};
pub use loaded::{Library, take_close_failures};
pub use manifest::{CAPABILITIES, ComponentEntry, Manifest, ProfileEntry, lacking};
pub use wire::{PluginModule, PluginModuleRef};

#[doc(hidden)]
pub use abi_stable::{
    library::{__call_root_module_loader, LibHeader, RootModuleResult},
    std_types::RString,
};

/// Exports the library's components. The last line of a plugin's `lib.rs`.
///
/// Every component registered with [`register!`](crate::register) in the crate
/// becomes visible to hosts that load the library.
#[macro_export]
macro_rules! plugin {
    () => {
        #[allow(unsafe_code)]
        const _: () = {
            extern "C" fn manifest() -> $crate::abi::RString {
                $crate::abi::manifest_json(
                    env!("CARGO_PKG_NAME"),
                    env!("CARGO_PKG_VERSION"),
                    cfg!(panic = "unwind"),
                )
            }
            fn root() -> $crate::abi::PluginModuleRef {
                $crate::abi::start(module_path!());
                $crate::abi::module(manifest)
            }
            extern "C" fn erased() -> $crate::abi::RootModuleResult {
                $crate::abi::__call_root_module_loader(root)
            }
            // The name that a host looks up; see `abi_stable::library`.
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            static _1as_0lib_1header_0root_bmodule_bloader: $crate::abi::LibHeader =
                // SAFETY: `erased` returns the prefix reference of exactly the
                // module type named here.
                unsafe {
                    $crate::abi::LibHeader::from_constructor::<$crate::abi::PluginModuleRef>(
                        erased,
                        $crate::abi::CHECK_LAYOUT,
                    )
                };
        };
    };
}

#[doc(hidden)]
pub const CHECK_LAYOUT: abi_stable::library::CheckTypeLayout = abi_stable::library::CheckTypeLayout::Yes;

#[cfg(test)]
mod tests {
    #[test]
    fn the_exported_name_is_the_one_hosts_look_up() {
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, "_1as_0lib_1header_0root_bmodule_bloader");
    }
}
