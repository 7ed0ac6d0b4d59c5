import Diagnostics

/// What started this process together with others, as the environment tells. It is asked before any MPI library is loaded.
struct Launcher: Equatable {
  /// The command, as its user knows it.
  var name: String
  /// How many processes it has started; nil: it does not say, and the MPI library has to.
  var count: Int?
  /// Number of this process, from 0; nil: it does not say.
  var rank: Int?
  /// MPI libraries that may be its own, the likeliest first.
  var libraries: [String]

  /// Names another library; `off`: this process trains alone, whatever started it.
  static let variable = "PERIGEE_MPI"
  static let off = "off"

  private static let openMPI = ["libmpi.so.40"]
  private static let mpich = ["libmpich.so.12", "libmpi.so.12"]
  /// MVAPICH and Intel MPI have MPICH's interface, and no name of their own.
  private static let likeMPICH = ["libmpi.so.12", "libmpich.so.12"]

  /// nil: nothing that starts several processes at once.
  ///
  /// A launcher may itself run inside of another one's job, as mpirun does in Slurm's: the inner one is asked first, by the variables that it
  /// alone sets.
  init?(_ environment: [String: String]) {
    func number(_ names: String...) -> Int? { names.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first }
    let named = environment[Self.variable] ?? ""
    guard named != Self.off else { return nil }
    let slurm = number("SLURM_PROCID")
    // Of a batch script, which is one process, Slurm sets what the job has, and no step.
    let steps =
      number("SLURM_STEP_NUM_TASKS") ?? (environment["SLURM_STEP_ID"] != nil || slurm ?? 0 > 0 ? number("SLURM_NTASKS", "SLURM_NPROCS") : nil)
    let isSlurm = slurm != nil && steps != nil
    if let count = number("OMPI_COMM_WORLD_SIZE") {
      self.init(name: "mpirun", count: count, rank: number("OMPI_COMM_WORLD_RANK"), libraries: Self.openMPI + ["libmpi.so"])
    } else if let count = number("MV2_COMM_WORLD_SIZE", "MVP_COMM_WORLD_SIZE") {
      let rank = number("MV2_COMM_WORLD_RANK", "MVP_COMM_WORLD_RANK")
      self.init(name: isSlurm ? "srun" : "mpirun_rsh", count: count, rank: rank, libraries: Self.likeMPICH + ["libmpi.so"])
    } else if let count = number("PMI_SIZE") {
      let isIntel = environment.keys.contains { $0 == "I_MPI_ROOT" || $0.hasPrefix("I_MPI_HYDRA") }
      // srun --mpi=pmi2 sets these too, and so does an mpiexec that srun has started.
      let name = isSlurm && number("PMI_RANK") == slurm && count == steps ? "srun" : "mpiexec"
      self.init(name: name, count: count, rank: number("PMI_RANK"), libraries: (isIntel ? Self.likeMPICH : Self.mpich) + ["libmpi.so"])
    } else if isSlurm {
      let libraries = environment["PMIX_RANK"] != nil ? Self.openMPI + Self.mpich : Self.mpich + Self.openMPI
      self.init(name: "srun", count: steps, rank: slurm, libraries: libraries)
    } else if let rank = number("PMIX_RANK") {
      self.init(name: "a launcher that speaks PMIx", count: nil, rank: rank, libraries: Self.openMPI + Self.mpich)
    } else if let rank = number("PMI_RANK", "PALS_RANKID", "ALPS_APP_PE") {
      self.init(name: "a launcher", count: nil, rank: rank, libraries: Self.mpich + Self.openMPI)
    } else {
      return nil
    }
    if !named.isEmpty { libraries = [named] }
  }

  init(name: String, count: Int?, rank: Int?, libraries: [String]) {
    (self.name, self.count, self.rank, self.libraries) = (name, count, rank, libraries)
  }

  /// Whether there may be other processes.
  var isJoint: Bool { count != 1 }

  /// What it did, in words: "mpirun has started 4 processes".
  var deed: String {
    count.map { "\(name) has started \($0) processes" }
      ?? "\(name) has started this process\(rank.map { " with the number \($0)" } ?? ""), and does not say how many there are"
  }

  /// Throws where the MPI library knows of another number of processes than were started: as many trainings side by side, all writing the same
  /// files, is not what was asked for.
  func requireCount(_ known: Int) throws {
    guard known != count, count != nil || known == 1 else { return }
    let alone =
      count == nil ? "; where it is the only one, say so with \(Self.variable)=\(Self.off)" : "; processes that share out a sweep take --shard"
    throw EngineError(
      .argument, "\(deed), and the MPI library knows of \(known): it is another MPI than the launcher's",
      hint: "start them with that library's own mpirun, or with srun --mpi=pmix or --mpi=pmi2 (srun --mpi=list names all), or name the library with "
        + "\(Self.variable)=/path/libmpi.so\(alone)")
  }

  /// Throws `EngineError` (`.argument`) where there are several processes for `what`, which one alone does.
  func requireAlone(_ what: String) throws {
    guard isJoint, count != nil || rank ?? 0 > 0 else { return }
    throw EngineError(
      .argument, "\(what): \(deed), and each would do all of it",
      hint: "start it without \(name); a script's sweep.run takes --shard; \(Self.variable)=\(Self.off) says that a process is alone")
  }
}
