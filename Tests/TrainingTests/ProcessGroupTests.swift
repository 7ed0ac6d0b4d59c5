import Diagnostics
import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Trainings by several processes, played by threads of which one runs at a time.
@Suite(.engine) struct ProcessGroupTests {
  /// Threads that hand on the turn to run where they wait for each other.
  private final class Players: @unchecked Sendable {
    private let condition = NSCondition()
    private let count: Int
    private var turn = 0
    private var given: [[[UInt8]?]] = []
    private var gone: Set<Int> = []
    private(set) var gathered = 0

    init(_ count: Int) { self.count = count }

    private func handOn(from rank: Int) {
      turn = (1...count).map { (rank + $0) % count }.first { !gone.contains($0) } ?? -1
      condition.broadcast()
    }

    func take(_ rank: Int) {
      while turn != rank { condition.wait() }
    }

    func gather(_ bytes: [UInt8], _ rank: Int, round: Int) throws -> [[UInt8]] {
      condition.lock()
      defer { condition.unlock() }
      while given.count <= round { given.append([[UInt8]?](repeating: nil, count: count)) }
      given[round][rank] = bytes
      gathered += bytes.count
      handOn(from: rank)
      take(rank)
      let all = given[round].compactMap { $0 }
      guard all.count == count else { throw EngineError(.argument, "a process left") }
      return all
    }

    /// Runs `body` for each rank, and gives what they return, or their errors.
    func play<Value>(_ body: @escaping @Sendable (Member) throws -> Value) -> [Result<Value, any Error>] {
      nonisolated(unsafe) var results = [Result<Value, any Error>?](repeating: nil, count: count)
      let done = DispatchGroup()
      for rank in 0..<count {
        done.enter()
        let thread = Thread {
          self.condition.lock()
          self.take(rank)
          self.condition.unlock()
          results[rank] = Result { try body(Member(self, rank, self.count)) }
          self.condition.lock()
          self.gone.insert(rank)
          self.handOn(from: rank)
          self.condition.unlock()
          done.leave()
        }
        thread.stackSize = 8 << 20
        thread.start()
      }
      done.wait()
      return results.compactMap { $0 }
    }
  }

  private final class Member: ProcessGroup {
    let rank, count: Int
    private let players: Players
    private var round = 0
    /// Bytes of gradients that went to other processes.
    private(set) var sent = 0

    init(_ players: Players, _ rank: Int, _ count: Int) { (self.players, self.rank, self.count) = (players, rank, count) }

    func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
      defer { round += 1 }
      return try players.gather(bytes, rank, round: round)
    }

    func allToAll(
      _ sent: UnsafeRawBufferPointer, _ sending: [Range<Int>], into received: UnsafeMutableRawBufferPointer, _ receiving: [Range<Int>]
    ) throws {
      self.sent += sending.enumerated().reduce(0) { $0 + ($1.offset == rank ? 0 : $1.element.count) }
      func numbers(_ ranges: [Range<Int>]) -> [UInt8] { ranges.flatMap { range in withUnsafeBytes(of: range) { Array($0) } } }
      // Where the parts begin and end, and then they themselves: everybody sees all, and takes what is meant for it.
      for (from, bytes) in try allGather(numbers(sending) + Array(sent)).enumerated() {
        let size = MemoryLayout<Range<Int>>.stride
        let range = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: rank * size, as: Range<Int>.self) }
        #expect(range.count == receiving[from].count)
        let part = bytes.dropFirst(count * size)[(count * size + range.lowerBound)..<(count * size + range.upperBound)]
        UnsafeMutableRawBufferPointer(rebasing: received[receiving[from]]).copyBytes(from: part)
      }
    }
  }

  /// What a process ends with.
  private struct Outcome: Equatable {
    var weights: [[Double]]
    var losses: [Double]
    var metrics: [String: Double]
  }

  @Sendable private static func train(
    _ setting: FrozenCase, _ group: any ProcessGroup, store: FolderStore? = nil, fails: Bool = false, scale: Double = 1
  )
    throws -> Outcome
  {
    var (arguments, losses) = (setting.arguments, [Double]())
    arguments.numTrainEpochs = 2
    var functions = TrainerFunctions()
    if fails { functions.loss = { _, _, _ in throw EngineError(.data, "no loss", hint: "take another") } }
    if scale != 1 { functions.loss = { logits, labels, _ in try logits.crossEntropy(Array(labels.int32s)).mul(scale) } }
    var callbacks = TrainerCallbacks()
    callbacks.onStep = { losses.append($0.state.loss) }
    let trainer = try Trainer(
      model: setting.model(), task: FrozenTask.task(), arguments: arguments, functions: functions, callbacks: callbacks, store: store, group: group)
    let metrics = try trainer.run()
    return Outcome(weights: trainer.model.network.trainableParameters().map(\.tensor.values), losses: losses, metrics: metrics)
  }

  @Test(arguments: [
    FrozenCase(testDescription: "LoRA, dropout", topLayers: [0, 1, 2], dropout: 0.2, accumulation: 3),
    FrozenCase(testDescription: "classifier, checkpoints", family: "tiny-bert", accumulation: 4, checkpoints: true),
  ])
  func anyNumberOfProcesses(_ setting: FrozenCase) throws {
    let alone = try Self.train(setting, SingleProcess())
    #expect(alone.losses.count > 3 && Set(alone.losses).count == alone.losses.count)
    for count in [2, 3, 5] {
      let players = Players(count)
      let outcomes = players.play { try Self.train(setting, $0) }
      #expect(outcomes.count == count && players.gathered > 0)
      for outcome in outcomes { #expect(try outcome.get() == alone, "\(count) processes") }
    }
  }

  /// Sums of gradients of which some are missing, as elements; nil: no piece had one.
  private static func sums(of pieces: Int, _ sizes: [Int], _ group: any ProcessGroup) throws -> [[Double]?] {
    let parameters = try sizes.enumerated().map { i, size in
      let parameter = try Tensor.zeros([size], i == 1 ? .float64 : .float32)
      parameter.requiresGrad = true
      return parameter
    }
    let loss = try group.sum(of: 0..<pieces, into: parameters, separately: true) { piece in
      for (i, parameter) in parameters.enumerated().dropLast() where (piece + i) % 3 > 0 {
        let values = (0..<parameter.count).map { sin(Double(1 + piece * 7919 + i * 104_729 + $0)) * pow(10, Double((piece + $0) % 5)) }
        parameter.grad = try Tensor(values, parameter.shape).converted(to: parameter.dtype)
      }
      return 1 / Double(3 + piece)
    }
    return parameters.map { $0.grad?.values } + [[loss]]
  }

  @Test(arguments: [1, 2, 4, 7]) func sumsAreThoseOfOneProcess(_ pieces: Int) throws {
    let sizes = [1, 3, 17, 1000, 33, 8]
    let alone = try Self.sums(of: pieces, sizes, SingleProcess())
    #expect(alone[5] == nil && alone.compactMap { $0 }.count == (pieces == 1 ? 4 : 6))
    // Each parameter's bytes, up to a multiple of 64.
    let bytes = 64 * (1 + 1 + 2 + 63 + 3 + 1)
    for count in [2, 3, 5, 8] {
      let outcomes = Players(count).play { (try Self.sums(of: pieces, sizes, $0), $0.sent) }
      #expect(outcomes.count == count)
      for outcome in outcomes {
        let (sums, sent) = try outcome.get()
        #expect(sums == alone, "\(count) processes")
        // Not more for more processes: their gradients once a round, and of the sums each one's slice to all.
        let rounds = (pieces + count - 1) / count
        #expect(sent <= (rounds + 1) * bytes + 64 * count)
      }
    }
  }

  @Test func anErrorEndsAll() {
    let setting = FrozenCase(testDescription: "", topLayers: [2], accumulation: 2)
    for outcome in Players(2).play({ try Self.train(setting, $0, fails: $0.rank == 1) }) {
      let error = #expect(throws: EngineError.self) { try outcome.get() }
      #expect(error?.description == "process 2 of 2: no loss; take another" && error?.kind == .data)
    }
  }

  /// A machine that computes a little differently.
  @Test func otherGradientsAreRefusedBeforeTheFirstUpdate() throws {
    let setting = FrozenCase(testDescription: "", topLayers: [2], accumulation: 2)
    for outcome in Players(3).play({ try Self.train(setting, $0, scale: $0.rank == 1 ? 1.001 : 1) }) {
      let error = #expect(throws: EngineError.self) { try outcome.get() }
      let message = error?.description ?? ""
      #expect(message.hasPrefix("process 2 of 3 computes other gradients than process 1 of 3 for the same examples: losses "), "\(message)")
      #expect(message.contains("first different gradient: ") && message.hasSuffix("OPENBLAS_CORETYPE=Haswell for all"), "\(message)")
    }
  }
}
