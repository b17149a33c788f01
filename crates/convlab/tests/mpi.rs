//! Processes that `mpirun` starts: the results are those of one process, and whoever disagrees or dies ends all, by name.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{Folder, text};
use conv_report::record;

/// Ends with all processes within so long, whatever became of one.
const SOON: Duration = Duration::from_secs(20);

/// Starts `programs` of one process each.
fn mpirun(folder: &Folder, programs: &[&str]) -> Output {
    let mut command = Command::new("mpirun");
    // As root, and more processes than cores, as a test may be.
    command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
    command.env("XDG_CACHE_HOME", folder.path("cache")).current_dir(folder.path("")).arg("--oversubscribe");
    for (index, program) in programs.iter().enumerate() {
        command.args(if index == 0 { &["-n", "1"][..] } else { &[":", "-n", "1"] });
        match program.strip_prefix("sh: ") {
            Some(script) => command.args(["sh", "-c", &script.replace("convlab", env!("CARGO_BIN_EXE_convlab"))]),
            None => command.arg(env!("CARGO_BIN_EXE_convlab")).args(program.split_whitespace()),
        };
    }
    command.output().unwrap()
}

/// Two processes with the same arguments.
fn both(folder: &Folder, arguments: &str) -> Output {
    mpirun(folder, &[arguments, arguments])
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn towers_over_mpi_compute_what_one_process_does() {
    let folder = Folder::new();
    for batch in [1, 4] {
        folder.ok(&format!("forward --network paper --threads 1 --batch {batch} --output one.npy"));
        let one = fs::read(folder.path("one.npy")).unwrap();
        for more in ["--towers mpi", "--towers mpi --split channels", "--shard batch"] {
            if batch == 1 && more == "--shard batch" {
                continue;
            }
            let told = ok(&both(
                &folder,
                &format!("forward --network paper --threads 1 --batch {batch} --output two.npy {more}"),
            ));
            assert!(told.contains("by way of mpi"), "{told}");
            if more != "--shard batch" {
                assert!(fs::read(folder.path("two.npy")).unwrap() == one, "{more}, {batch} images: the same bits");
            }
        }
    }
    // Of fewer images a fully connected layer sums up in another order.
    let [one, two] = ["one.npy", "two.npy"].map(|name| floats(&folder.path(name)));
    assert_eq!((one.len(), two.len()), (4000, 4000));
    assert!(one.iter().zip(&two).all(|(one, two)| (one - two).abs() < 1e-4 * one.abs()), "images apart");
}

/// What a `.npy` file holds behind its header.
fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + header..].chunks_exact(4).map(|float| f32::from_le_bytes(float.try_into().unwrap())).collect()
}

#[test]
fn pictures_of_a_folder_are_told_in_their_order() {
    let folder = Folder::new();
    fs::create_dir(folder.path("photos")).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        let shade = name.as_bytes()[0].wrapping_mul(2);
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, shade]));
        picture.save(folder.path(&format!("photos/{name}.png"))).unwrap();
    }
    let command = "forward --network squeezenet1_1 --image photos --top 1 --threads 1 --algorithm direct";
    let one = folder.ok(command);
    assert_eq!(one.lines().count(), 5);
    assert_eq!(ok(&both(&folder, &format!("{command} --shard batch"))), one);
}

#[test]
fn ranks_that_disagree_are_told_by_name() {
    let folder = Folder::new();
    let command = "forward --network paper --threads 1 --towers mpi";
    let cases = [
        (" --seed 3", "the digest of the weights is"),
        (" --algorithm direct", "the plan is paper/conv1 by direct/nhwc with rank 1 and paper/conv1 by"),
        (" --batch 2", "the network is paper of 2 images"),
        (" --split channels", "the cut is channels in 1 chunks"),
        (" --weights nowhere.safetensors", "rank 1: cannot read nowhere.safetensors"),
    ];
    for (more, told) in cases {
        let start = Instant::now();
        let output = mpirun(&folder, &[command, &format!("{command}{more}")]);
        let message = text(&output.stderr);
        assert!(!output.status.success() && message.contains(told), "{more}: {message}");
        assert!(start.elapsed() < SOON, "{more} took {:?}", start.elapsed());
    }
}

#[test]
fn a_rank_that_dies_ends_the_others() {
    let folder = Folder::new();
    let command = "forward --network paper --batch 64 --threads 1 --towers mpi";
    let start = Instant::now();
    // Whether it prepares or computes then.
    let dies = format!("sh: convlab {command} & sleep 2; kill -9 $!; wait $!");
    let output = mpirun(&folder, &[command, &dies]);
    let message = text(&output.stderr);
    assert!(!output.status.success(), "{message}");
    assert!(message.contains(",1]") && message.contains("Exit code:    137"), "{message}");
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
}

#[test]
fn one_process_is_nobody_to_share_with() {
    let folder = Folder::new();
    let message = folder.fail("forward --network paper --towers mpi", 2);
    assert!(message.contains("by mpirun -n N"), "{message}");
    let output = both(&folder, "forward --network owt --towers mpi");
    let message = text(&output.stderr);
    assert_eq!(message.matches("owt has no convolution with groups").count(), 1, "{message}");
}

#[test]
fn problems_are_shared_and_put_together() {
    let folder = Folder::new();
    folder.write("p.txt", "mb1ic16ih9oc16kh3ph1n\"a\"\nmb1ic8ih9oc16kh1n\"b\"\nmb1ic16ih9oc8kh3ph1n\"c\"\n");
    ok(&both(&folder, "bench p.txt --quick --algorithm direct --threads 1 --shard problems --out r"));
    let names = |path: &Path| {
        let records = record::read(path).unwrap();
        let mut names: Vec<String> =
            records.into_iter().filter(|record| record.problem.is_some()).map(|record| record.name).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(&folder.path("r/records.jsonl")), ["p/a", "p/b", "p/c"]);
    assert_eq!(names(&folder.path("r/rank-1/records.jsonl")), ["p/b"]);
    ok(&both(&folder, "tune p.txt --time 2s --threads 1 --shard problems -o plan.toml"));
    let plan = fs::read_to_string(folder.path("plan.toml")).unwrap();
    let order: Vec<&str> = plan.lines().filter(|line| line.starts_with("name = ")).collect();
    assert_eq!(order, ["name = \"p/a\"", "name = \"p/b\"", "name = \"p/c\""]);
    let forward = folder.run("bench p.txt --plan plan.toml --out q");
    assert!(forward.status.success(), "{}", text(&forward.stderr));
    let other = mpirun(&folder, &["bench p.txt --quick --shard problems", "bench paper --quick --shard problems"]);
    assert!(text(&other.stderr).contains("the list of problems is"), "{}", text(&other.stderr));
}
