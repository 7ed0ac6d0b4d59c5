import Diagnostics
import Testing

@testable import Engine

/// What started a process, as its environment tells.
@Suite struct LauncherTests {
  /// A launcher's variables, and what follows from them.
  struct Case: CustomTestStringConvertible {
    var testDescription: String
    var environment: [String: String]
    /// nil: the process is alone.
    var name: String?
    var count: Int?
    var rank: Int?
    var library: String?

    init(
      _ testDescription: String, _ environment: [String: String], _ name: String? = nil, _ count: Int? = nil, _ rank: Int? = nil,
      _ library: String? = nil
    ) {
      (self.testDescription, self.environment) = (testDescription, environment)
      (self.name, self.count, self.rank, self.library) = (name, count, rank, library)
    }
  }

  private static let job = ["SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NPROCS": "4", "SLURM_PROCID": "0"]
  private static let step = job.merging(["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"]) { $1 }

  private static let cases = [
    Case("nothing", [:]),
    Case("a batch script, which is one process", job),
    Case(
      "mpirun of Open MPI 4, within Slurm",
      step.merging(["SLURM_STEP_NUM_TASKS": "2", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "5", "PMIX_RANK": "5"]) { $1 }, "mpirun", 8, 5,
      "libmpi.so.40"),
    Case("mpirun -n 1", ["OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"], "mpirun", 1, 0, "libmpi.so.40"),
    Case("mpiexec.hydra of MPICH", ["PMI_SIZE": "3", "PMI_RANK": "1", "PMI_FD": "9"], "mpiexec", 3, 1, "libmpich.so.12"),
    Case(
      "mpiexec.hydra of Intel MPI", ["PMI_SIZE": "3", "PMI_RANK": "1", "I_MPI_ROOT": "/opt/intel/mpi"], "mpiexec", 3, 1, "libmpi.so.12"),
    Case(
      "mpiexec.hydra within Slurm, whose step has a process for each node",
      step.merging(["SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "PMI_SIZE": "8", "PMI_RANK": "6"]) { $1 }, "mpiexec", 8, 6, "libmpich.so.12"),
    Case("mpirun_rsh of MVAPICH", ["MV2_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_RANK": "1", "PMI_SIZE": "2"], "mpirun_rsh", 2, 1, "libmpi.so.12"),
    Case("mpirun_rsh of MVAPICH 3", ["MVP_COMM_WORLD_SIZE": "2", "MVP_COMM_WORLD_RANK": "0"], "mpirun_rsh", 2, 0, "libmpi.so.12"),
    Case("srun --mpi=pmi2", step.merging(["PMI_SIZE": "4", "PMI_RANK": "2"]) { $1 }, "srun", 4, 2, "libmpich.so.12"),
    Case("srun --mpi=pmix", step.merging(["PMIX_RANK": "2"]) { $1 }, "srun", 4, 2, "libmpi.so.40"),
    Case("srun without any PMI", step, "srun", 4, 2, "libmpich.so.12"),
    Case("srun of one process", step.merging(["SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"]) { $1 }, "srun", 1, 0, "libmpich.so.12"),
    Case(
      "srun that does not tell of its step", ["SLURM_NTASKS": "4", "SLURM_PROCID": "3"], "srun", 4, 3, "libmpich.so.12"),
    Case("bare PMIx", ["PMIX_RANK": "1", "PMIX_NAMESPACE": "a"], "a launcher that speaks PMIx", nil, 1, "libmpi.so.40"),
    Case("PALS", ["PALS_RANKID": "1"], "a launcher", nil, 1, "libmpich.so.12"),
    Case(
      "a library that is named", ["OMPI_COMM_WORLD_SIZE": "2", "PERIGEE_MPI": "/opt/libmpi.so"], "mpirun", 2, nil, "/opt/libmpi.so"),
    Case("said to be alone", ["OMPI_COMM_WORLD_SIZE": "2", "PERIGEE_MPI": "off"]),
  ]

  @Test(arguments: cases) func theEnvironmentTells(_ expected: Case) {
    let launcher = Launcher(expected.environment)
    #expect(launcher?.name == expected.name)
    #expect(launcher?.count == expected.count)
    #expect(launcher?.rank == expected.rank)
    #expect(launcher?.libraries.first == expected.library)
  }

  /// Processes that do not know of each other would each train, and write the same files.
  @Test func anotherNumberOfProcessesIsRefused() throws {
    for environment in [Self.step, ["PMIX_RANK": "0"]] {
      let launcher = try #require(Launcher(environment))
      let error = #expect(throws: EngineError.self) { try launcher.requireCount(1) }
      #expect(error?.message.hasPrefix(launcher.deed + ", and the MPI library knows of 1") ?? false)
      #expect(error?.hint?.contains("--mpi=pmi2") ?? false)
      #expect(error?.hint?.hasSuffix(launcher.count == nil ? "PERIGEE_MPI=off" : "take --shard") ?? false, "\(String(describing: error))")
      try launcher.requireCount(4)
    }
    #expect(throws: EngineError.self) { try Launcher(Self.step)?.requireCount(3) }
  }

  @Test func whatOneProcessDoesIsRefused() throws {
    let error = #expect(throws: EngineError.self) { try Launcher(["PMIX_RANK": "1"])?.requireAlone("perigee check") }
    #expect(
      error?.message
        == "perigee check: a launcher that speaks PMIx has started this process with the number 1, and does not say how many there are, and each would do "
        + "all of it")
    try Launcher(["PMIX_RANK": "0"])?.requireAlone("perigee check")
    #expect(throws: EngineError.self) { try Launcher(Self.step)?.requireAlone("perigee check") }
    try Launcher(Self.job)?.requireAlone("perigee check")
  }
}
