//! One target of conv-fuzz, named by the variable `TARGET`, under libFuzzer.

#![no_main]

use std::{panic, sync::LazyLock};

use conv_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").expect("the variable TARGET names a target of conv-fuzz");
    conv_fuzz::target(&name).unwrap_or_else(|| panic!("conv-fuzz has no target '{name}'"))
});

/// What decodes pictures: `conv_net::image` makes an error of each of its panics.
const GUARDED: [&str; 3] = ["/zune-jpeg-", "/png-", "/image-"];

/// libFuzzer's hook ends the process at every panic, also one that is caught.
fn let_guarded_panics_pass() {
    let end = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let guarded = |place: &panic::Location<'_>| GUARDED.iter().any(|name| place.file().contains(name));
        if !panic.location().is_some_and(guarded) {
            end(panic);
        }
    }));
}

fuzz_target!(init: let_guarded_panics_pass(), |bytes: &[u8]| (TARGET.run)(bytes));
