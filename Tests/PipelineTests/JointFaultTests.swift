import Files
import Foundation
import TestSupport
import Testing

/// What goes wrong in one process of a joint training ends all of them, in time and with one message, and what was saved is whole.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct JointFaultTests {
  private typealias Joint = JointTrainingTests

  private static let launchers = [(Joint.openMPI, "OMPI_COMM_WORLD_RANK"), (Joint.mpich, "PMI_RANK")].filter { Joint.isThere($0.0) }

  /// Starts two processes that leave their numbers in `pid-0` and `pid-1` and their exit codes in `code-0` and `code-1`, waits for the first
  /// saved state, runs `fault`, and tells how long it took until all had ended.
  private static func start(_ launcher: String, _ variable: String, name: String, fault: String) -> String {
    Joint.start(launcher, 2)
      + #"""
       bash -c '"$@" & echo $! > pid-$VARIABLE; wait $!; code=$?; echo $code > code-$VARIABLE; exit $code' bash "$@" &
      until compgen -G 'NAME-cache/stages-*/*/state-*' > states || ! kill -0 $!; do sleep 0.02; done
      began=$(date +%s); FAULT
      wait $!; code=$?
      for pid in $(cat pid-*); do while kill -0 $pid 2>/dev/null; do sleep 0.1; done; done
      echo "seconds $(($(date +%s) - began))"
      exit $code
      """#.replacing("VARIABLE", with: variable).replacing("NAME", with: name).replacing("FAULT", with: fault)
  }

  private static func seconds(_ outcome: Outcome) -> Int { Int(outcome.output.split(separator: " ").last?.dropLast() ?? "") ?? .max }

  private static func errors(_ outcome: Outcome) -> [Substring] { outcome.error.split(separator: "\n").filter { $0.hasPrefix("perigee: ") } }

  @Test(arguments: launchers, [0, 1]) func aProcessThatHangsIsNamed(_ launcher: (String, String), _ rank: Int) throws {
    try withTemporaryFolder { folder in
      try Joint.write(to: folder, epochs: 15)
      let shell = "export PERIGEE_HANG_SECONDS=2; " + Self.start(launcher.0, launcher.1, name: "hung", fault: "kill -STOP $(cat pid-\(rank))")
      let outcome = try Joint.run("hung", in: folder, shell: shell)
      #expect(outcome.code == 1 && Self.seconds(outcome) <= 15, "\(outcome)")
      let lines = Self.errors(outcome)
      let line = lines.first ?? ""
      let pid = try String(contentsOfFile: "\(folder)/pid-\(rank)", encoding: .utf8).trimmingCharacters(in: .newlines)
      #expect(lines.count == 1 && line.hasPrefix("perigee: error: process \(rank + 1) of 2 (process \(pid) on "), "\(outcome)")
      #expect(line.contains("gave no sign of life for 2 s, while process \(2 - rank) waited at an update: "), "\(outcome)")
      let alone = try Joint.run("alone", in: folder, shell: "\"$@\"")
      let resumed = try Joint.run("hung", in: folder, shell: "\"$@\"")
      #expect(alone.code == 0 && resumed.code == 0 && resumed.error.contains("resumed at"), "\(resumed)")
      #expect(try Joint.weights("hung", in: folder) == Joint.weights("alone", in: folder))
    }
  }

  /// Runs the script by two processes that may be asked for their number as `rank`.
  private static func runApart(_ name: String, _ first: String, in folder: String, settings: String = "", shell: String) throws -> Outcome {
    try Joint.write(to: folder, first: "local rank = os.getenv('OMPI_COMM_WORLD_RANK')\n" + first, settings: settings)
    return try perigee(
      ["run", "script.lua", "--allow-io", "--out", "\(folder)/\(name)"], in: folder, shell: "export PERIGEE_CACHE=\(folder)/\(name)-cache; " + shell)
  }

  private static let two = Joint.start(Joint.openMPI, 2) + " \"$@\""

  /// A computation, a wait and a process that does nothing are no faults, however long.
  @Test(.enabled(if: Joint.isThere(Joint.openMPI), "no \(Joint.openMPI)")) func whatTakesLongIsNoHang() throws {
    try withTemporaryFolder { folder in
      let slow = """
        local function busy() local start = os.clock() while os.clock() - start < 7 do end end
        if rank == '0' then os.execute('sleep 7') else busy() end

        """
      let settings = ", on_step = function(t) if t.step == 2 and os.getenv('OMPI_COMM_WORLD_RANK') == '1' then os.execute('sleep 7') end end"
      let outcome = try Self.runApart("slow", slow, in: folder, settings: settings, shell: "export PERIGEE_HANG_SECONDS=3; " + Self.two)
      #expect(outcome.code == 0 && outcome.output == "done\n" && Self.errors(outcome).isEmpty, "\(outcome)")
    }
  }

  @Test(.enabled(if: Joint.isThere(Joint.openMPI) && Joint.isThere("gdb"), "no \(Joint.openMPI), or no gdb")) func aDebuggerIsNoHang() throws {
    try withTemporaryFolder { folder in
      try Joint.write(to: folder, epochs: 15)
      let gdb = "gdb -p $(cat pid-1) -batch -nx -ex 'shell sleep 8' -ex detach > gdb 2>&1"
      let shell = "export PERIGEE_HANG_SECONDS=3; " + Self.start(Joint.openMPI, "OMPI_COMM_WORLD_RANK", name: "held", fault: gdb)
      let outcome = try Joint.run("held", in: folder, shell: shell)
      #expect(outcome.code == 0 && Self.errors(outcome).isEmpty && Self.seconds(outcome) >= 8, "\(outcome)")
    }
  }

  @Test(arguments: launchers) func aSignalToOneEndsAllWithItsCode(_ launcher: (String, String)) throws {
    try withTemporaryFolder { folder in
      try Joint.write(to: folder, epochs: 15)
      let shell = Self.start(launcher.0, launcher.1, name: "told", fault: "kill -USR1 $(cat pid-1)")
      let outcome = try Joint.run("told", in: folder, shell: shell)
      #expect(outcome.code == 138, "\(outcome)")
      let lines = Self.errors(outcome)
      #expect(lines.count == 1 && lines[0].contains("process 2 of 2: ") && lines[0].hasSuffix("interrupted by SIGUSR1"), "\(outcome)")
      for rank in 0...1 { #expect(try String(contentsOfFile: "\(folder)/code-\(rank)", encoding: .utf8) == "138\n") }
    }
  }

  @Test(
    .enabled(if: Joint.isThere(Joint.openMPI), "no \(Joint.openMPI)"),
    arguments: [
      ("if rank == '1' then error('only here') end\n", "process 2 of 2: script.lua:2: only here"),
      ("if rank == '0' then error('only here') end\n", "perigee: error: script.lua:2: only here"),
    ]) func anErrorOfOneScriptEndsAll(_ first: String, _ message: String) throws
  {
    try withTemporaryFolder { folder in
      let outcome = try Self.runApart("run", first, in: folder, shell: Self.two)
      #expect(outcome.code == 1 && outcome.output == "", "\(outcome)")
      let lines = Self.errors(outcome)
      #expect(lines.count == 1 && lines[0].contains(message), "\(outcome)")
    }
  }

  /// A file that may not grow stands for a disk that is full.
  @Test(.enabled(if: Joint.isThere(Joint.openMPI), "no \(Joint.openMPI)")) func whatCannotBeSavedEndsAll() throws {
    try withTemporaryFolder { folder in
      try Joint.write(to: folder, epochs: 15)
      // MPI's own memory is a file, too.
      let limit =
        "export OMPI_MCA_btl=tcp,self; " + Joint.start(Joint.openMPI, 2)
        + #" bash -c '[ $OMPI_COMM_WORLD_RANK = 0 ] && ulimit -f 2; exec "$@"' bash "$@""#
      let outcome = try Joint.run("full", in: folder, shell: limit)
      let lines = Self.errors(outcome)
      #expect(outcome.code == 1 && lines.count == 1 && lines[0].contains("\(folder)/full"), "\(outcome)")
      let alone = try Joint.run("alone", in: folder, shell: "\"$@\"")
      let again = try Joint.run("full", in: folder, shell: "\"$@\"")
      #expect(alone.code == 0 && again.code == 0, "\(again)")
      #expect(try Joint.weights("full", in: folder) == Joint.weights("alone", in: folder))
    }
  }

  /// Slurm has started several, and offers no interface by which an MPI library could find them.
  @Test(.enabled(if: Joint.isThere(Joint.mpich), "no \(Joint.mpich)")) func processesThatDoNotKnowOfEachOtherDoNotTrain() throws {
    try withTemporaryFolder { folder in
      try Joint.write(to: folder)
      let slurm = "export SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 SLURM_STEP_ID=0 PERIGEE_MPI=libmpich.so.12; "
      let outcome = try Joint.run("run", in: folder, shell: slurm + "\"$@\"")
      #expect(outcome.code == 1 && Self.errors(outcome).count == 1, "\(outcome)")
      #expect(outcome.error.contains("srun has started 4 processes, and the MPI library knows of 1") && !fileExists(folder + "/run"), "\(outcome)")
      let alone = try Joint.run("run", in: folder, shell: slurm + "PERIGEE_MPI=off \"$@\"")
      #expect(alone.code == 0 && alone.output == "done\n", "\(alone)")
    }
  }
}
