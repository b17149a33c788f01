//! Runs allocate nothing, and plans declare what they keep. One test: the counting allocator counts the whole process.

use conv_core::Problem;
use conv_measure::memory::counted;
use conv_measure::pool;
use conv_measure::{Effort, Subject, Workload};
use conv_simd::Isa;
use conv_tune::algorithms;
use convlab::suite;

#[global_allocator]
static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;

/// AlexNet's maps with fewer channels, a strided and a grouped one among them, and a depthwise layer.
const PROBLEMS: [&str; 6] = [
    "mb1ic3ih227oc16kh11sh4",
    "g2mb2ic32ih27oc64kh5ph2",
    "mb1ic48ih13oc64kh3ph1",
    "mb3ic17ih9oc33kh3ph1",
    "g24mb2ic24ih14oc24kh3ph1",
    "mb2ic40ih7oc24kh1",
];

/// Bytes that a plan may keep beside its prepared weights: itself, its tables of a few numbers.
const PLAN_BYTES: usize = 64 << 10;

#[test]
fn runs_allocate_nothing_and_plans_declare_what_they_keep() {
    let problems: Vec<Problem> = PROBLEMS.iter().map(|text| text.parse().unwrap()).collect();
    let mut mistakes = Vec::new();
    for threads in [1, 2] {
        let pool = pool(threads).unwrap();
        for case in suite::cases(problems.clone(), &algorithms(), &Isa::available()) {
            pool.install(|| {
                let mut workload = Workload::new(&case.problem).unwrap();
                for &candidate in &case.candidates {
                    let name = || {
                        let (algorithm, isa) = (candidate.method.algorithm.name(), candidate.isa);
                        format!("{algorithm} on {isa}, {threads} threads, '{}'", case.problem)
                    };
                    let mut subject = Subject::new(candidate, &mut workload, usize::MAX >> 1).unwrap();
                    // The test's own machinery may allocate now and then on another thread; a plan would do so each time.
                    let allocations = (0..Effort::QUICK.samples)
                        .map(|_| counted(|| subject.run(&mut workload).unwrap()).1.unwrap().allocations)
                        .min();
                    if allocations != Some(0) {
                        mistakes.push(format!("{}: {allocations:?} allocations a run", name()));
                    }
                    let (declared, counted) = (subject.footprint(), subject.counted().unwrap());
                    if declared.scratch_bytes != counted.scratch_bytes {
                        mistakes.push(format!("{}: scratch {declared:?}, counted {counted:?}", name()));
                    }
                    let kept = declared.prepared_bytes..=declared.prepared_bytes + PLAN_BYTES;
                    // The pool's queues may grow while a plan is made; they do not do so each time.
                    let again = || {
                        Subject::new(candidate, &mut workload, usize::MAX >> 1)
                            .unwrap()
                            .counted()
                            .unwrap()
                            .prepared_bytes
                    };
                    if !kept.contains(&counted.prepared_bytes)
                        && !std::iter::repeat_with(again).take(3).any(|prepared| kept.contains(&prepared))
                    {
                        mistakes.push(format!("{}: prepared {declared:?}, counted {counted:?}", name()));
                    }
                }
            });
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
