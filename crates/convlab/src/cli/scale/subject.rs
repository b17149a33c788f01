//! A network of so many images: what is measured of it, and what follows from that.

use std::time::Instant;

use conv_core::PlanOptions;
use conv_measure::{Machine, Samples, Stop, Stream, memory};
use conv_net::{LayerMemory, MemoryPlan, Network, PeerError, Peers, Shape, Synthetic, Towers};
use conv_report::record::{Kind, LayerTime, Record};
use rayon::ThreadPool;

use super::args::Args;
use super::links::{MemberError, all_tell, bandwidths};
use crate::cli::CliError;
use crate::cli::plan::Setting;
use crate::forward::{TimedPass, random_inputs};
use crate::records;
use crate::scale::{Alone, LayerCost, Link, Place, exchanging, gathering};
use crate::towers::{Methods, TimedTower};

/// Ranks that times are predicted for.
const RANKS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Rounds in which one rank, towers and shares of the images are measured in turn.
const ROUNDS: usize = 3;

/// Samples of a pass in a round.
const SAMPLES: usize = 5;

/// Seed of weights and inputs.
const SEED: u64 = 0;

/// Attempts at a bandwidth, and passes over the memory in each.
const READS: [usize; 2] = [5, 1];

/// A network of so many images.
pub(super) struct Subject<'a> {
    args: &'a Args,
    setting: &'a Setting,
    network: Network,
    towers: Towers,
}

/// What came of measuring.
pub(super) enum Measured {
    /// With the first of those who measure.
    First(Box<Times>),
    /// With the others.
    Beside,
    /// With all of them: one was asked to.
    Stopped,
}

/// What was measured.
pub(super) struct Times {
    /// One rank with all of it.
    single: Samples,
    /// For each number of ranks what the first of them computes, layer by layer: in towers, and with images of its own.
    shares: Vec<(usize, Vec<LayerCost>)>,
    images: Vec<(usize, Vec<LayerCost>)>,
    /// All ranks together, in towers, and with images each.
    towers: Samples,
    apart: Samples,
    /// In the same rounds.
    place: Place,
}

impl<'a> Subject<'a> {
    pub(super) fn new(args: &'a Args, setting: &'a Setting, batch: usize, workers: usize) -> Result<Self, CliError> {
        let network = Network::by_name(&args.network, batch).map_err(CliError::input)?;
        let towers = Towers::new(&network, workers, args.split.into(), 1).map_err(CliError::input)?;
        let inputs = network.inputs().iter().map(|&input| network.shape(input).map(|shape| shape.bytes() as u128));
        let bytes = inputs.sum::<Result<u128, _>>().map_err(CliError::input)?;
        // Each of those who are threads has its own.
        let sharers = if args.mpi { 1 } else { workers as u128 };
        memory::admit(&format!("an input of {batch} images"), sharers * bytes).map_err(CliError::input)?;
        Ok(Subject { args, setting, network, towers })
    }

    fn options(&self) -> PlanOptions {
        let options = PlanOptions::new(self.args.threads).isa(self.setting.isa);
        // Those that are threads plan at the same time.
        let sharers = if self.args.mpi { 1 } else { self.towers.workers() };
        options.memory_limit((memory::available_bytes() / sharers).min(options.memory_limit))
    }

    /// The pass of so many images by one rank.
    fn pass(&self, images: usize, pool: &ThreadPool) -> Result<TimedPass, CliError> {
        let network = Network::by_name(&self.args.network, images).map_err(CliError::input)?;
        let mut weights = Synthetic::new(&network, SEED);
        let pass = pool.install(|| TimedPass::new(&network, &mut weights, &self.setting.chooser, &self.options()));
        pass.map_err(CliError::input)
    }

    /// Of so many ranks what `worker` computes.
    fn tower(&self, towers: &Towers, worker: usize, pool: &ThreadPool) -> Result<TimedTower, CliError> {
        let (mut weights, options) = (Synthetic::new(&self.network, SEED), self.options());
        let methods = Methods::of(&self.network, &self.setting.chooser, &options);
        let tower = || TimedTower::new(towers.clone(), worker, &mut weights, &methods, &options);
        pool.install(tower).map_err(CliError::input)
    }

    /// Numbers of ranks that times are predicted for, those that measure among them.
    fn ranks(&self) -> Vec<usize> {
        let mut ranks = [&RANKS[..], &[self.towers.workers()]].concat();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    /// The towers that there can be.
    fn cuts(&self) -> impl Iterator<Item = Towers> {
        let cut = |ranks| Towers::new(&self.network, ranks, self.args.split.into(), 1).ok();
        self.ranks().into_iter().filter_map(cut)
    }

    /// Numbers of ranks that have images each.
    fn sharings(&self) -> impl Iterator<Item = usize> {
        let batch = self.network.batch();
        self.ranks().into_iter().filter(move |&ranks| batch > 1 && ranks <= batch)
    }

    /// One rank, its shares, towers, and ranks with images each, in turn.
    pub(super) fn measure(
        &self,
        peers: &mut dyn Peers,
        (pool, stop): (&ThreadPool, &Stop),
        stream: &Stream,
        cache_bytes: usize,
    ) -> Result<Measured, MemberError> {
        let (batch, worker, workers) = (self.network.batch(), peers.worker(), peers.workers());
        let inputs = random_inputs(&self.network, SEED).map_err(CliError::input)?;
        let images = |first: usize, end: usize| {
            let part = |input: &Vec<f32>| input.len() / batch * first..input.len() / batch * end;
            inputs.iter().map(|input| &input[part(input)]).collect::<Vec<_>>()
        };
        let (mut single, mut shares, mut apart_shares) = (None, Vec::new(), Vec::new());
        if worker == 0 {
            single = Some(self.pass(batch, pool)?);
            // What is left undone is not asked for: the others are told below.
            let goes_on = || stop.check().is_ok();
            for towers in self.cuts().take_while(|_| goes_on()) {
                shares.push((towers.workers(), self.tower(&towers, 0, pool)?));
            }
            for ranks in self.sharings().filter(|&ranks| ranks > 1).take_while(|_| goes_on()) {
                apart_shares.push((ranks, self.pass(batch.div_ceil(ranks), pool)?));
            }
        }
        let mut tower = self.tower(&self.towers, worker, pool)?;
        let own = worker * batch / workers..(worker + 1) * batch / workers;
        let mut share = if batch < workers { None } else { Some(self.pass(own.len(), pool)?) };
        let (mut apart, mut alone, mut together) = (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            let asked = all_tell(peers, f64::from(u8::from(stop.check().is_err())))?;
            if asked.iter().any(|&asked| asked > 0.0) {
                return Ok(Measured::Stopped);
            }
            let read = || stream.gb_s(pool, self.setting.isa, READS);
            let [one, each] = bandwidths(peers, read)?;
            alone.push(one);
            together.push(each);
            for _ in 0..=SAMPLES {
                if let Some(single) = &mut single {
                    pool.install(|| single.sample(&images(0, batch))).map_err(CliError::input)?;
                }
                for (ranks, share) in &mut apart_shares {
                    pool.install(|| share.sample(&images(0, batch.div_ceil(*ranks)))).map_err(CliError::input)?;
                }
            }
            for (ranks, share) in &mut shares {
                share.measure(pool, &images(0, batch), &mut Alone(*ranks))?;
            }
            all_tell(peers, 0.0)?;
            tower.measure(pool, &images(0, batch), peers)?;
            for _ in 0..SAMPLES {
                if let Some(share) = &mut share {
                    all_tell(peers, 0.0)?;
                    let start = Instant::now();
                    pool.install(|| share.run(&images(own.start, own.end))).map_err(CliError::input)?;
                    gather(share, &self.network, peers)?;
                    apart.push(start.elapsed().as_nanos() as f64);
                }
            }
        }
        let Some(single) = single else { return Ok(Measured::Beside) };
        let cost_of = |pass: &TimedPass| {
            let memory = pass.pass().memory();
            costs(&pass.record(Record::default(), None).layers, memory, memory.prepared_bytes > cache_bytes)
        };
        let all = cost_of(&single);
        let shares = shares.iter().map(|(ranks, share)| (*ranks, tower_costs(share, cache_bytes)));
        let images = apart_shares.iter().map(|(ranks, share)| (*ranks, cost_of(share)));
        Ok(Measured::First(Box::new(Times {
            single: single.samples().clone(),
            shares: [(1, all.clone())].into_iter().chain(shares).collect(),
            images: [(1, all)].into_iter().chain(images).filter(|_| batch > 1).collect(),
            towers: tower.samples().clone(),
            apart,
            place: Place { alone: alone.median(), together: together.median() },
        })))
    }

    /// What is predicted, and what was measured of it.
    pub(super) fn records(&self, times: &Times, link: Link, transport: &'static str) -> Result<Vec<Record>, CliError> {
        let (batch, workers, threads) = (self.network.batch(), self.towers.workers(), self.args.threads);
        let output_bytes = outputs(&self.network).map(Shape::bytes).sum::<usize>() / batch;
        let record = |shard: &str, ranks: usize, link: Link, gbit: Option<f64>, predicted: f64| Record {
            kind: Kind::Scale,
            name: self.network.name().into(),
            algorithm: Some(self.setting.chooser.name().into()),
            isa: self.setting.isa.name().into(),
            batch: Some(batch),
            threads: threads * ranks,
            shard: Some(shard.into()),
            transport: gbit.is_none().then(|| transport.into()),
            ranks: Some(ranks),
            link_gbit_s: gbit,
            latency_ns: Some(link.latency_ns),
            predicted_ns: Some(predicted),
            bandwidth_gb_s: Some(times.place.together),
            ..records::origin(&Machine::detect())
        };
        let stated = self.args.link.iter().map(|&gbit| {
            let link = Link { latency_ns: self.args.latency.as_nanos() as f64, bytes_per_ns: gbit / 8.0 };
            (Some(gbit), link, times.place.apart())
        });
        let here = |gbit: Option<f64>, ranks: usize| gbit.is_some() || ranks == 1 || ranks == workers;
        let measured = |samples: &Samples, ranks: usize, record: Record| match (record.link_gbit_s, ranks) {
            (None, 1) => records::times(&times.single, record),
            (None, _) if samples.count() > 0 => records::times(samples, record),
            _ => record,
        };
        let mut records = Vec::new();
        for (gbit, link, place) in [(None, link, times.place)].into_iter().chain(stated) {
            for (ranks, share) in times.shares.iter().filter(|(ranks, _)| here(gbit, *ranks)) {
                let crossing = match *ranks {
                    1 => 0.0,
                    ranks => self.cuts().find(|cut| cut.workers() == ranks).map_or(0.0, |cut| exchanging(&cut, link)),
                };
                let predicted = beside(place, *ranks).computing(share) + crossing;
                let record = record(self.args.split.name(), *ranks, link, gbit, predicted);
                records.push(measured(&times.towers, *ranks, record));
            }
            for (ranks, share) in times.images.iter().filter(|(ranks, _)| here(gbit, *ranks)) {
                let gathered = gathering(batch, *ranks, output_bytes, link);
                let predicted = beside(place, *ranks).computing(share) + gathered;
                records.push(measured(&times.apart, *ranks, record("batch", *ranks, link, gbit, predicted)));
            }
        }
        Ok(records)
    }
}

/// Alone, a rank has the memory to itself.
fn beside(place: Place, ranks: usize) -> Place {
    if ranks == 1 { place.apart() } else { place }
}

fn outputs(network: &Network) -> impl Iterator<Item = &Shape> {
    network.outputs().iter().filter_map(|&output| network.shape(output).ok())
}

/// What the layers of a measured pass take, with what they read from memory if it `streams`: if all weights together do not stay in
/// the cache.
fn costs(times: &[LayerTime], memory: &MemoryPlan, streams: bool) -> Vec<LayerCost> {
    let cost = |(time, layer): (&LayerTime, &LayerMemory)| LayerCost {
        ns: time.median_ns,
        streamed_bytes: if streams { layer.prepared_bytes as f64 } else { 0.0 },
    };
    times.iter().zip(&memory.layers).map(cost).collect()
}

/// The same of all phases of a tower. Between them it copies what it keeps and packs what it sends.
fn tower_costs(tower: &TimedTower, cache_bytes: usize) -> Vec<LayerCost> {
    let mut times = &tower.layers()[..];
    let mut all = Vec::new();
    let prepared: usize = tower.pass().passes().iter().map(|pass| pass.memory().prepared_bytes).sum();
    for pass in tower.pass().passes() {
        let (own, rest) = times.split_at(pass.memory().layers.len());
        all.extend(costs(own, pass.memory(), prepared > cache_bytes));
        times = rest;
    }
    let copying = tower.samples().median() - all.iter().map(|layer| layer.ns).sum::<f64>();
    all.push(LayerCost { ns: copying.max(0.0), streamed_bytes: 0.0 });
    all
}

/// Sends what a share of the images gave to the first worker.
fn gather(share: &TimedPass, network: &Network, peers: &mut dyn Peers) -> Result<(), PeerError> {
    let (batch, worker, workers) = (network.batch(), peers.worker(), peers.workers());
    let own: Vec<f32> =
        (0..network.outputs().len()).filter_map(|index| share.pass().output(index)).flatten().copied().collect();
    let (mut sends, mut receives) = (vec![Vec::new(); workers], vec![Vec::new(); workers]);
    if worker > 0 {
        sends[0] = own;
    } else {
        let image = own.len() / (batch / workers);
        for (worker, receive) in receives.iter_mut().enumerate().skip(1) {
            let images = (worker + 1) * batch / workers - worker * batch / workers;
            receive.resize(images * image, 0.0);
        }
    }
    peers.exchange(&sends, &mut receives, &mut || {})
}
