//! A network cut for workers gives the bits of a single pass, whatever is cut, for however many.

mod common;

use std::thread;

use common::{Kept, oracle_only, values};
use conv_core::PlanOptions;
use conv_net::{
    Activation, AveragePool, BatchNormalization, Binary, Builder, Concat, Conv, Crossing, ForwardError, ForwardPass,
    Linear, Lrn, Network, Operator, Pad, PadMode, Peers, Pool, Reduce, Reduction, Slice, Softmax, Split, Synthetic,
    Threads, TowerError, TowerPass, Towers, Transpose, ValueId, Window, owt, paper,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

const RELU: Operator = Operator::Activation(Activation::Relu);

fn conv(out_channels: usize, kernel: usize, groups: usize) -> Operator {
    Operator::Conv(Conv { out_channels, windows: Window::square(kernel, 1, kernel / 2), groups, bias: true })
}

fn linear(out_features: usize) -> Operator {
    Operator::Linear(Linear { out_features, bias: true })
}

/// One thread.
fn pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(1).build().unwrap()
}

/// A chain on maps of `channels` channels.
fn chain(batch: usize, channels: usize, operators: &[Operator]) -> Network {
    let mut builder = Builder::new("chain");
    let mut last = builder.input("input", &[batch, channels, 6, 5]).unwrap();
    for (index, operator) in operators.iter().enumerate() {
        last = builder.node(format!("layer{index}"), operator.clone(), &[last]).unwrap();
    }
    builder.finish(&[last]).unwrap()
}

/// AlexNet's kinds of layers, small.
fn small_alexnet(batch: usize) -> Network {
    let lrn = Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 0.1, beta: 0.75 });
    let pool = Operator::MaxPool(Pool::square(2, 1, 0));
    let layers = [
        conv(12, 3, 1),
        RELU,
        lrn,
        pool.clone(),
        conv(16, 3, 2),
        RELU,
        conv(8, 3, 1),
        conv(12, 1, 4),
        pool,
        linear(20),
        RELU,
        linear(7),
        Operator::Softmax(Softmax::channels()),
    ];
    chain(batch, 3, &layers)
}

/// Branches that meet, a value that is needed whole here and in parts there, and later still.
fn graph(batch: usize) -> Network {
    let mut builder = Builder::new("graph");
    let mut count = 0;
    let mut add = |builder: &mut Builder, operator: Operator, inputs: &[ValueId]| {
        count += 1;
        builder.node(format!("n{count}"), operator, inputs).unwrap()
    };
    let input = builder.input("input", &[batch, 4, 6, 5]).unwrap();
    let first = add(&mut builder, conv(12, 3, 1), &[input]);
    let norm = add(&mut builder, Operator::BatchNormalization(BatchNormalization { epsilon: 1e-5 }), &[first]);
    let grouped = add(&mut builder, conv(12, 3, 4), &[norm]);
    let sum = add(&mut builder, Operator::Binary(Binary::Add), &[grouped, norm]);
    let depthwise = add(&mut builder, conv(12, 3, 12), &[sum]);
    let shuffled = add(&mut builder, Operator::ChannelShuffle { groups: 3 }, &[depthwise]);
    let joined = add(&mut builder, Operator::Concat(Concat { axis: 1 }), &[shuffled, norm, input]);
    let mean = Operator::AveragePool(AveragePool { pool: Pool::square(3, 1, 1), count_padding: false });
    let mean = add(&mut builder, mean, &[sum]);
    let reduced = Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keep: true };
    let squeezed = add(&mut builder, Operator::Reduce(reduced), &[joined]);
    let gate = add(&mut builder, conv(12, 1, 1), &[squeezed]);
    let scaled = add(&mut builder, Operator::Binary(Binary::Mul), &[mean, gate]);
    let again = add(&mut builder, Operator::Binary(Binary::Add), &[scaled, first]);
    let classes = add(&mut builder, linear(9), &[again]);
    builder.finish(&[classes, again]).unwrap()
}

/// What all workers together compute, outputs of the first, and the bytes that each sent.
fn in_towers(network: &Network, towers: &Towers) -> (Vec<Vec<f32>>, Vec<usize>) {
    let inputs: Vec<Vec<f32>> =
        network.inputs().iter().map(|&input| values(network.shape(input).unwrap().floats())).collect();
    let run = |peers: Threads| {
        let mut weights = Kept::of(network, &mut Synthetic::new(network, 3)).unwrap();
        let worker = peers.worker();
        let options = PlanOptions::new(1);
        let mut pass = TowerPass::new(towers.clone(), worker, &mut weights, &oracle_only, &options).unwrap();
        let mut counted = Counted { peers, sent: 0 };
        let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        // The second run finds the buffers of the first.
        for _ in 0..2 {
            counted.sent = 0;
            pass.run(&pool(), &slices, &mut counted, &mut ()).unwrap();
        }
        let outputs = (0..network.outputs().len()).map(|output| pass.output(output).unwrap().to_vec());
        (outputs.collect::<Vec<_>>(), counted.sent)
    };
    let (outputs, sent): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let threads: Vec<_> =
            Threads::of(towers.workers()).into_iter().map(|peers| scope.spawn(|| run(peers))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).unzip()
    });
    (outputs.into_iter().next().unwrap(), sent)
}

/// Counts what is sent.
struct Counted {
    peers: Threads,
    sent: usize,
}

impl Peers for Counted {
    fn worker(&self) -> usize {
        self.peers.worker()
    }

    fn workers(&self) -> usize {
        self.peers.workers()
    }

    fn exchange(
        &mut self,
        sends: &[Vec<f32>],
        receives: &mut [Vec<f32>],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), conv_net::PeerError> {
        self.sent += sends.iter().map(|floats| 4 * floats.len()).sum::<usize>();
        self.peers.exchange(sends, receives, meanwhile)
    }
}

/// Holds a cut network against a single pass, and what crossed against what was told.
fn same_bits(network: &Network, workers: usize, split: Split, chunks: usize) {
    let what =
        format!("{} of {} images, {workers} workers, {split:?}, {chunks} chunks", network.name(), network.batch());
    let inputs: Vec<Vec<f32>> =
        network.inputs().iter().map(|&input| values(network.shape(input).unwrap().floats())).collect();
    let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut weights = Synthetic::new(network, 3);
    let mut single = ForwardPass::new(network, &mut weights, &oracle_only, &PlanOptions::new(1)).unwrap();
    single.run(&slices, &mut ()).unwrap();
    let towers = Towers::new(network, workers, split, chunks).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (outputs, sent) = in_towers(network, &towers);
    for (index, output) in outputs.iter().enumerate() {
        let single = single.output(index).unwrap();
        assert!(output == single, "{what}: output {index} is that of a single pass");
    }
    let told = (0..workers).map(|worker| towers.crossings().iter().map(|crossing| crossing.sent_bytes[worker]).sum());
    assert_eq!(told.collect::<Vec<usize>>(), sent, "{what}: {:?}", towers.crossings());
}

#[test]
fn towers_compute_what_one_pass_does() {
    for (batch, chunks) in [(1, 1), (2, 1), (2, 2), (3, 3), (4, 2)] {
        for workers in [2, 3, 4, 5] {
            let groups = workers == 2 || workers == 4;
            for network in [small_alexnet(batch), graph(batch)] {
                // Fully connected layers on what everybody has are in the first phase.
                same_bits(&network, workers, Split::Channels, 1);
                if groups || network.name() == "graph" && workers == 3 {
                    same_bits(&network, workers, Split::Groups, chunks);
                }
            }
        }
    }
}

/// What the caller gives is needed whole and in parts, and after an exchange.
fn inputs_again(batch: usize) -> [Network; 4] {
    let on = |name: &str| {
        let mut builder = Builder::new(name);
        let input = builder.input("x", &[batch, 8, 4, 3]).unwrap();
        (builder, input)
    };
    let add = Operator::Binary(Binary::Add);
    let (mut builder, x) = on("residual");
    let whole = builder.node("whole", conv(8, 3, 1), &[x]).unwrap();
    let grouped = builder.node("grouped", conv(8, 3, 2), &[whole]).unwrap();
    let sum = builder.node("sum", add.clone(), &[grouped, x]).unwrap();
    let residual = builder.finish(&[sum]).unwrap();
    let (mut builder, x) = on("first");
    let depthwise = builder.node("depthwise", conv(16, 3, 8), &[x]).unwrap();
    let classes = builder.node("classes", linear(6), &[depthwise]).unwrap();
    let first = builder.finish(&[classes]).unwrap();
    let mut builder = Builder::new("connected");
    let a = builder.input("a", &[batch, 8]).unwrap();
    let b = builder.input("b", &[batch, 8]).unwrap();
    let product = builder.node("product", linear(8), &[a]).unwrap();
    let sum = builder.node("sum", add.clone(), &[product, b]).unwrap();
    let sum = builder.node("again", add, &[sum, a]).unwrap();
    let connected = builder.finish(&[sum]).unwrap();
    // For the worker in the middle alone all forms of `v` are the same.
    let (mut builder, x) = on("alike");
    let v = builder.node("v", conv(6, 1, 1), &[x]).unwrap();
    let lrn = |size| Operator::Lrn(Lrn { size, k: 2.0, alpha: 0.1, beta: 0.75 });
    let five = builder.node("five", lrn(5), &[v]).unwrap();
    let three = builder.node("three", lrn(3), &[v]).unwrap();
    let all = builder.node("all", conv(6, 1, 1), &[v]).unwrap();
    let grouped = builder.node("grouped", conv(6, 1, 6), &[v]).unwrap();
    let joined = builder.node("joined", Operator::Concat(Concat { axis: 1 }), &[five, three, all, grouped]).unwrap();
    [residual, first, connected, builder.finish(&[joined]).unwrap()]
}

#[test]
fn inputs_are_with_everybody_in_every_form() {
    for batch in [1, 2] {
        let [residual, first, connected, alike] = inputs_again(batch);
        for workers in [2, 3] {
            same_bits(&connected, workers, Split::Channels, 1);
            same_bits(&alike, workers, Split::Groups, 1);
        }
        same_bits(&residual, 2, Split::Groups, batch.min(1));
        same_bits(&first, 2, Split::Groups, batch);
    }
}

#[test]
fn the_paper_exchanges_where_it_says() {
    let towers = Towers::new(&paper(1).unwrap(), 2, Split::Groups, 1).unwrap();
    let crossings = towers.crossings();
    let told: Vec<(&str, usize, usize)> = crossings
        .iter()
        .map(|crossing| (crossing.readers[0].as_str(), crossing.sent_bytes[0], crossing.sent_bytes[1]))
        .collect();
    let expected = [
        ("lrn1", 55 * 55 * 2, 55 * 55 * 2),
        ("lrn2", 27 * 27 * 2, 27 * 27 * 2),
        ("conv3", 13 * 13 * 128, 13 * 13 * 128),
        ("fc6", 6 * 6 * 128, 6 * 6 * 128),
        ("fc7", 2048, 2048),
        ("fc8", 2048, 2048),
        ("softmax", 500, 500),
    ];
    let bytes = expected.map(|(reader, first, second)| (reader, 4 * first, 4 * second));
    assert_eq!(told, bytes);
    let parameters = |worker| towers.networks(worker).map(Network::parameter_count).sum::<usize>();
    assert_eq!([parameters(0), parameters(1)].iter().sum::<usize>(), 60_965_224);
    assert_eq!(parameters(0), 60_965_224 / 2);
}

#[test]
fn images_of_a_batch_cross_while_others_are_computed() {
    let towers = Towers::new(&small_alexnet(4), 2, Split::Groups, 2).unwrap();
    // Two chunks of images for each phase of convolutions, one for each fully connected layer and the softmax.
    let halves = towers.networks(0).filter(|network| network.batch() == 2).count();
    assert_eq!((halves, towers.phases()), (3, 6), "{:?}", towers.crossings());
}

#[test]
fn what_cannot_be_cut_is_told() {
    let error = |network: &Network, workers, split| Towers::new(network, workers, split, 1).unwrap_err();
    let owt = owt(1).unwrap();
    assert!(matches!(error(&owt, 2, Split::Groups), TowerError::NoGroups { .. }));
    assert!(matches!(error(&owt, 1, Split::Channels), TowerError::Workers { workers: 1 }));
    assert!(matches!(error(&paper(1).unwrap(), 3, Split::Groups), TowerError::NoGroups { .. }));
    let convolutions = chain(1, 4, &[conv(8, 3, 1)]);
    assert!(matches!(error(&convolutions, 2, Split::Channels), TowerError::NoConnected { .. }));
    let chunks = Towers::new(&small_alexnet(2), 2, Split::Channels, 2).unwrap_err();
    assert!(matches!(chunks, TowerError::NoChunks { chunks: 2, .. }));
    let chunks = Towers::new(&small_alexnet(3), 2, Split::Groups, 2).unwrap_err();
    assert_eq!(chunks.to_string(), "2 chunks of a batch of 3; they must be as large as each other");
}

#[test]
fn a_worker_that_ends_ends_those_that_wait_for_it() {
    let network = small_alexnet(1);
    let towers = Towers::new(&network, 2, Split::Groups, 1).unwrap();
    let mut peers = Threads::of(2);
    drop(peers.pop());
    let mut weights = Synthetic::new(&network, 3);
    let mut pass = TowerPass::new(towers, 0, &mut weights, &oracle_only, &PlanOptions::new(1)).unwrap();
    let input = values(network.shape(network.inputs()[0]).unwrap().floats());
    let error = pass.run(&pool(), &[&input], &mut peers[0], &mut ()).unwrap_err();
    assert!(error.to_string().starts_with("worker 1 ended"), "{error}");
}

/// A single number has no images and no channels.
#[test]
fn single_numbers_are_no_images() {
    let mut builder = Builder::new("numbers");
    let input = builder.input("input", &[2, 4, 6, 5]).unwrap();
    let number = builder.input("number", &[]).unwrap();
    let turned = builder.node("turned", Operator::Transpose(Transpose { permutation: vec![] }), &[number]).unwrap();
    let whole = Slice { starts: vec![], steps: vec![], sizes: vec![] };
    let sliced = builder.node("sliced", Operator::Slice(whole), &[turned]).unwrap();
    let none = Pad { amounts: vec![], mode: PadMode::Edge };
    let padded = builder.node("padded", Operator::Pad(none), &[sliced]).unwrap();
    let first = builder.node("conv", conv(8, 3, 2), &[input]).unwrap();
    let network = builder.finish(&[first, padded]).unwrap();
    assert!(network.mixes_images().is_none());
    same_bits(&network, 2, Split::Groups, 1);
}

/// What is sent and what comes is asked for, and told, like everything else.
#[test]
fn memory_of_exchanges_is_asked_for() {
    let network = small_alexnet(2);
    for chunks in [1, 2] {
        let towers = Towers::new(&network, 2, Split::Groups, chunks).unwrap();
        let new = |limit| {
            let options = PlanOptions::new(1).memory_limit(limit);
            TowerPass::new(towers.clone(), 0, &mut Synthetic::new(&network, 3), &oracle_only, &options)
        };
        let pass = new(usize::MAX).unwrap();
        let total = pass.total_bytes();
        let passes: usize = pass.passes().iter().map(|pass| pass.memory().total_bytes()).sum();
        let crossings = towers.crossings();
        let most = |bytes: fn(&Crossing) -> usize| {
            let of = |phase| crossings.iter().filter(|crossing| crossing.phase == phase).map(bytes).sum::<usize>();
            (0..towers.phases()).map(of).max().unwrap()
        };
        let exchanged = most(|crossing| crossing.sent_bytes[0]) + most(|crossing| crossing.received_bytes[0]);
        // Of a part of the batch at a time where it is computed so.
        assert!(exchanged > 0 && total > passes + exchanged / chunks, "{total} for {passes} and {exchanged}");
        assert!(new(total).is_ok());
        let error = new(total - 1).err().unwrap();
        assert!(matches!(error, ForwardError::Memory { .. }), "{error}");
    }
}

/// Values that cross by the thousand are cut in no time that grows with their square.
#[test]
fn many_crossings_are_cut_quickly() {
    let mut builder = Builder::new("wide");
    let input = builder.input("input", &[1, 4, 1, 1]).unwrap();
    let all = Operator::Reduce(Reduce { reduction: Reduction::Mean, axes: vec![1], keep: true });
    let outputs: Vec<ValueId> = (0..3000)
        .map(|index| {
            let first = builder.node(format!("conv{index}"), conv(4, 1, 2), &[input]).unwrap();
            builder.node(format!("mean{index}"), all.clone(), &[first]).unwrap()
        })
        .collect();
    let network = builder.finish(&outputs).unwrap();
    let begin = std::time::Instant::now();
    let towers = Towers::new(&network, 2, Split::Groups, 1).unwrap();
    assert_eq!((towers.crossings().len(), towers.phases()), (3000, 2));
    assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{:?}", begin.elapsed());
}
