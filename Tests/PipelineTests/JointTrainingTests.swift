import Files
import Foundation
import TestSupport
import Testing

/// One training by the processes that a launcher starts together.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct JointTrainingTests {
  static let openMPI = "mpirun.openmpi"
  static let mpich = "mpiexec.mpich"

  static func isThere(_ launcher: String) -> Bool { FileManager.default.isExecutableFile(atPath: "/usr/bin/" + launcher) }

  /// The beginning of a command line that starts some processes.
  static func start(_ launcher: String, _ count: Int) -> String {
    // A container's user may be root, and have fewer cores than there are processes.
    let settings =
      "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none; "
    return settings + "\(launcher) -n \(count)"
  }

  /// A script with one training of dropout in `folder`, and in the copies `a` and `b`.
  static func write(to folder: String, epochs: Int = 1, first: String = "", settings more: String = "") throws {
    try TinyTask.write(to: folder)
    let script = """
      stage('one', function()
        trainer.fit(options(make()))
      end)
      print('done')

      """
    let settings = "num_train_epochs = \(epochs), micro_batch_size = 1, save_seconds = 0" + more
    try AtomicFile.write(first + TinyTask.script(".", settings) + script, to: folder + "/script.lua")
  }

  /// Runs the script; each name has its own run directory and store.
  static func run(_ name: String, in folder: String, shell: String) throws -> Outcome {
    try perigee(["run", "script.lua", "--out", "\(folder)/\(name)"], in: folder, shell: "export PERIGEE_CACHE=\(folder)/\(name)-cache; " + shell)
  }

  static func weights(_ name: String, in folder: String) throws -> Digest {
    try Digest(ofFile: "\(folder)/\(name)/stages/one/weights.safetensors")
  }

  @Test(.enabled(if: isThere(openMPI), "no \(openMPI)"), arguments: [2, 4]) func openMPITrainsToTheBitsOfOne(_ count: Int) throws {
    try Self.trainToTheBitsOfOne(Self.openMPI, count)
  }

  @Test(.enabled(if: isThere(mpich), "no \(mpich)"), arguments: [2, 3]) func mpichTrainsToTheBitsOfOne(_ count: Int) throws {
    try Self.trainToTheBitsOfOne(Self.mpich, count)
  }

  private static func trainToTheBitsOfOne(_ launcher: String, _ count: Int) throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder)
      let alone = try Self.run("alone", in: folder, shell: "\"$@\"")
      #expect(alone.code == 0 && alone.output == "done\n", "\(alone)")
      let joint = try Self.run("joint", in: folder, shell: Self.start(launcher, count) + " \"$@\"")
      #expect(joint.code == 0 && joint.output == "done\n", "\(joint)")
      #expect(joint.error.contains("\(count) processes") && joint.error.components(separatedBy: "one: 6 steps").count == 2, "\(joint.error)")
      #expect(try Self.weights("joint", in: folder) == Self.weights("alone", in: folder))
      let again = try Self.run("joint", in: folder, shell: Self.start(launcher, count) + " \"$@\"")
      #expect(again.code == 0 && again.error.contains("one: reused"), "\(again)")
    }
  }

  /// The processes of one launch in folders of their own.
  private static let apart = start(openMPI, 1) + #" --wdir "$PWD/a" "$@" : -n 1 --wdir "$PWD/b" "$@""#

  @Test(
    .enabled(if: isThere(openMPI), "no \(openMPI)"),
    arguments: [
      ("echo 'good\tno' >> b/train.tsv", "stage 'one': process 2 of 2 differs from process 1 of 2: task.train has changed"),
      ("echo \"error('broken')\" > b/lib.lua", "process 2 of 2: lib.lua:1: broken"),
    ]) func whatDiffersIsRefused(_ change: String, _ message: String) throws
  {
    try withTemporaryFolder { folder in
      try Self.write(to: folder, first: "require 'lib'\n")
      try AtomicFile.write("return {}\n", to: folder + "/lib.lua")
      let copy = "mkdir a b; for f in *.*; do cp $f a; cp $f b; done; "
      let outcome = try Self.run("run", in: folder, shell: copy + change + "; " + Self.apart)
      #expect(outcome.code == 1 && outcome.output == "", "\(outcome)")
      let lines = outcome.error.split(separator: "\n").filter { $0.hasPrefix("perigee: ") }
      #expect(lines.count == 1 && lines[0].contains(message), "\(outcome.error)")
      #expect(!fileExists(folder + "/run"))
    }
  }

  @Test(.enabled(if: isThere(openMPI), "no \(openMPI)")) func aKilledRunGoesOnAlone() throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder, epochs: 15)
      let alone = try Self.run("alone", in: folder, shell: "\"$@\"")
      #expect(alone.code == 0, "\(alone)")
      let killed = try Self.run(
        "killed", in: folder,
        shell: Self.start(Self.openMPI, 2) + #"""
           bash -c 'echo $$ > pid-$OMPI_COMM_WORLD_RANK; exec "$@"' bash "$@" &
          until compgen -G 'killed-cache/stages-*/*/state-*' || ! kill -0 $!; do sleep 0.02; done
          kill -9 $(cat pid-1)
          wait $!
          """#)
      #expect(killed.code == 137 && killed.output.contains("/state-") && !fileExists(folder + "/killed/stages"), "\(killed)")
      let resumed = try Self.run("killed", in: folder, shell: "\"$@\"")
      #expect(resumed.code == 0 && resumed.error.contains("resumed at"), "\(resumed)")
      #expect(try Self.weights("killed", in: folder) == Self.weights("alone", in: folder))
    }
  }

  @Test(.enabled(if: isThere(openMPI), "no \(openMPI)")) func aScriptsOwnLossIsRefused() throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder, settings: ", loss = function(logits, labels) return logits:cross_entropy(labels) end")
      let outcome = try Self.run("run", in: folder, shell: Self.start(Self.openMPI, 2) + " \"$@\"")
      #expect(outcome.code == 1 && outcome.error.contains("stage 'one': a script's own loss is not shared out by 2 processes"), "\(outcome)")
    }
  }

  /// The benchmark compares its sums with those of one process.
  @Test(.enabled(if: isThere(openMPI), "no \(openMPI)"), arguments: [1, 7]) func theReduceBenchmarkAddsUp(_ pieces: Int) throws {
    try withTemporaryFolder { folder in
      let outcome = try perigee(
        ["bench", "reduce", "--json", "--bytes", "4000", "--parameters", "7", "--pieces", "\(pieces)", "--compute-seconds", "0.01", "--steps", "3"],
        in: folder, shell: Self.start(Self.openMPI, 3) + " \"$@\"")
      #expect(outcome.code == 0, "\(outcome)")
      let report = try JSONValue(parsing: Array(outcome.output.utf8), source: "the report")
      #expect(report["processes"]?.intValue == 3 && report["pieces"]?.intValue == pieces)
      let compute = report["compute_seconds"]?["median"]?.doubleValue ?? 0
      #expect(compute >= 0.01 * Double((pieces + 2) / 3) && report["step_seconds"]?["median"]?.doubleValue ?? 0 > compute)
    }
  }

  /// Processes that cannot speak with each other do not train side by side.
  @Test func withoutALibraryNothingRuns() throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder)
      let outcome = try Self.run("run", in: folder, shell: "OMPI_COMM_WORLD_SIZE=2 PERIGEE_MPI=libnone.so \"$@\"")
      #expect(outcome.code == 1 && outcome.error.contains("has started 2 processes, which cannot train together"), "\(outcome)")
      #expect(outcome.error.contains("libnone.so") && outcome.error.contains("PERIGEE_MPI=") && !fileExists(folder + "/run"))
      let other = try perigee(["check", "script.lua"], in: folder, shell: "OMPI_COMM_WORLD_SIZE=2 \"$@\"")
      #expect(other.code == 1 && other.error.contains("perigee check: mpirun has started 2 processes, and each would do all of it"), "\(other)")
    }
  }
}
