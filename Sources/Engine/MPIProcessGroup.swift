import CMPI
import Diagnostics
import Foundation
import Training

/// The processes that mpirun or srun has started together, which train one model.
package final class MPIProcessGroup: ProcessGroup {
  package let rank: Int
  package let count: Int

  private var heartbeat: Heartbeat?

  /// The processes that were started together with this one; this one alone, and without any MPI library, where there is no other.
  ///
  /// Throws `EngineError` (`.argument`) where the launcher has started several and they cannot reach each other: as many trainings side by
  /// side is not what was asked for.
  package static func launched(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws -> any ProcessGroup {
    guard let launcher = Launcher(environment), launcher.isJoint else { return SingleProcess() }
    return try MPIProcessGroup(launcher, patience: try HeartbeatTiming.current(environment))
  }

  /// Throws `EngineError` (`.argument`) where a launcher has started several processes for `what`, which one alone does.
  package static func requireAlone(_ what: String, _ environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    try Launcher(environment)?.requireAlone(what)
  }

  private init(_ launcher: Launcher, patience: HeartbeatTiming) throws {
    let names = launcher.libraries.map { strdup($0) }
    defer { for name in names { free(name) } }
    let error = names.map { UnsafePointer($0) }.withUnsafeBufferPointer { cm_open($0.baseAddress, $0.count) }
    if let error {
      throw EngineError(
        .argument, "\(launcher.deed), which cannot train together: \(String(cString: error))",
        hint: "install the MPI that the launcher belongs to, or name its library with PERIGEE_MPI=/path/libmpi.so; processes that share out a "
          + "sweep take --shard")
    }
    (rank, count) = (Int(cm_rank()), Int(cm_count()))
    try launcher.requireCount(count)
    heartbeat = try Heartbeat.start(patience, self)
  }

  package func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    // What is short goes with its size, so that an update takes one message.
    let (header, block) = (MemoryLayout<UInt64>.size, 64)
    var own = withUnsafeBytes(of: UInt64(bytes.count)) { Array($0) } + bytes.prefix(block - header)
    own += [UInt8](repeating: 0, count: block - own.count)
    var blocks = [UInt8](repeating: 0, count: count * block)
    try check(cm_gather(own, block, &blocks))
    let sizes = (0..<count).map { rank in blocks.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: rank * block, as: UInt64.self) } }
    if sizes.allSatisfy({ $0 <= block - header }) {
      return sizes.enumerated().map { Array(blocks[($0 * block + header)...].prefix(Int($1))) }
    }
    let all = try [UInt8](unsafeUninitializedCapacity: Int(sizes.reduce(0, +))) { all, filled in
      try check(bytes.withUnsafeBytes { cm_gather_sized($0.baseAddress, sizes, all.baseAddress) })
      filled = all.count
    }
    var begin = 0
    return sizes.map { size in
      defer { begin += Int(size) }
      return Array(all[begin..<begin + Int(size)])
    }
  }

  package func allToAll(
    _ sent: UnsafeRawBufferPointer, _ sending: [Range<Int>], into received: UnsafeMutableRawBufferPointer, _ receiving: [Range<Int>]
  ) throws {
    func ranges(_ ranges: [Range<Int>]) -> [cm_range] { ranges.map { cm_range(begin: UInt64($0.lowerBound), size: UInt64($0.count)) } }
    try check(cm_exchange(sent.baseAddress, ranges(sending), received.baseAddress, ranges(receiving)))
  }

  private func check(_ error: UnsafePointer<CChar>?) throws {
    if let error { throw EngineError(.file, "\(name(rank)): \(String(cString: error))") }
  }

  package func comes(to place: String) { heartbeat?.place = place }

  /// Leaves the others, when all have come to their end.
  package func close() {
    heartbeat?.leave()
    cm_close()
    heartbeat?.end()
  }

  /// Ends all processes at once, because this one can no longer speak with them. Does not return.
  package func abort(_ error: any Error) { Self.abort("\(name(rank)): \("\(error)".inOneLine); all processes end") }

  static func abort(_ text: String) {
    StandardError.write("perigee: error: \(text.inOneLine)\n")
    // A launcher that is told to end all does not always pass on what was written just before.
    usleep(500_000)
    cm_abort(1)
  }
}
