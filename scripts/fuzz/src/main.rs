//! One target of conv-fuzz, named by the variable `TARGET`, under libFuzzer.

#![no_main]

use std::sync::LazyLock;

use conv_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").expect("the variable TARGET names a target of conv-fuzz");
    conv_fuzz::target(&name).unwrap_or_else(|| panic!("conv-fuzz has no target '{name}'"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
