//! A pass allocates nothing and keeps what its plan says. One test: the counting allocator counts the whole process.

use alexnet::{ForwardPass, Network, Weights};
use conv_core::{Algorithm, PlanOptions, Problem};
use convlab::machine::pool;
use convlab::memory::counted;
use convlab::registry::Chooser;

#[global_allocator]
static ALLOCATOR: convlab::memory::CountingAllocator = convlab::memory::CountingAllocator;

/// Bytes that a pass may keep beside what it plans: names, and tables of a few numbers for each layer.
const TABLE_BYTES: isize = 512 << 10;

#[test]
fn a_pass_allocates_nothing_and_keeps_what_it_plans() {
    for (name, batch, threads) in [("paper", 1, 1), ("paper", 3, 2), ("owt", 2, 2)] {
        let network = Network::by_name(name).unwrap();
        let what = format!("{name}, batch {batch}, {threads} threads");
        pool(threads).unwrap().install(|| {
            let weights = Weights::synthetic(&network, 0).unwrap();
            let choose = |problem: &Problem| -> &'static dyn Algorithm { Chooser::Auto.choose(problem).algorithm };
            let options = PlanOptions::new(threads);
            let (pass, counts) = counted(|| ForwardPass::new(&network, &weights, batch, &choose, &options));
            let mut pass = pass.unwrap();
            let (kept, planned) = (counts.unwrap().retained_bytes, pass.memory().total_bytes().cast_signed());
            assert!((planned..=planned + TABLE_BYTES).contains(&kept), "{what}: {kept} bytes kept, {planned} planned");
            let input = vec![0.5; pass.input_len()];
            // The test's own machinery may allocate now and then on another thread; a pass would do so each time.
            let run = || counted(|| pass.run(&input, &mut ()).map(<[f32]>::len)).1.unwrap().allocations;
            assert_eq!(std::iter::repeat_with(run).take(3).min(), Some(0), "{what}: allocations of a run");
        });
    }
}
