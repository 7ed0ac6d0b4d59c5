import Diagnostics
import Files
import TensorCore
import TransformerModels

/// The processes that train one model together, each with a copy of it.
///
/// The batches of an update are shared out by their numbers: of n processes, process r computes the batches r, n + r, 2n + r and
/// so on. The gradients are then added in the order of the batches, whoever computed them, so every process makes the same update,
/// and how many processes there are changes no result. There is one exception, where one process alone adds up all batches in place: of a
/// parameter that several layers share whose activations are recomputed, it adds each layer's part to the batches before, and several
/// processes add up the parts of a batch first.
public protocol ProcessGroup: AnyObject {
  /// Number of this process, from 0.
  var rank: Int { get }
  /// Number of processes.
  var count: Int { get }
  /// What every process gives, by rank. Every process has to call it equally often. Throws where a process cannot be reached.
  func allGather(_ bytes: [UInt8]) throws -> [[UInt8]]
  /// Told before this process waits for the others: where it has come to, in words.
  func comes(to place: String)
}

extension ProcessGroup {
  public func comes(to place: String) {}
}

/// A process that trains alone.
public final class SingleProcess: ProcessGroup {
  public let rank = 0
  public let count = 1

  public init() {}

  public func allGather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }
}

extension ProcessGroup {
  /// Runs `compute` for the items that are this process's, and makes the gradients of all items' parameters their sum, in the order
  /// of the items, in every process. Returns the sum of what `compute` returned for the items.
  ///
  /// - Parameter separately: whether one process alone computes each item's gradients by themselves too, and adds them up then: the same
  ///   bits as many processes, without exception.
  ///
  /// An error in one process ends the update in all of them.
  func sum(
    of items: Range<Int>, into parameters: @autoclosure () -> [Tensor], separately: Bool = false, _ compute: (Int) throws -> Double
  ) throws -> Double {
    if count == 1, !separately { return try items.reduce(0) { $0 + (try compute($1)) } }
    let parameters = parameters()
    var total = 0.0
    var sums = [Tensor?](repeating: nil, count: parameters.count)
    func add(_ gradient: Tensor?, to i: Int) throws {
      guard let gradient else { return }
      sums[i] = try Autograd.noGrad { try sums[i].map { try $0.add(gradient) } ?? gradient }
    }
    for first in stride(from: items.lowerBound, to: items.upperBound, by: count) {
      for parameter in parameters { parameter.grad = nil }
      if count == 1 {
        total += try compute(first)
        for (i, parameter) in parameters.enumerated() { try add(parameter.grad, to: i) }
        continue
      }
      let item = first + rank
      let result = Result { item < items.upperBound ? try compute(item) : 0 }
      let answers = try exchange(result.map { Message(loss: $0, parameters) })
      for var answer in answers.prefix(items.upperBound - first) {
        total += answer.loss
        for (i, parameter) in parameters.enumerated() { try add(answer.nextGradient(like: parameter), to: i) }
        try answer.requireEnd()
      }
    }
    for (parameter, sum) in zip(parameters, sums) { parameter.grad = sum }
    return total
  }

  /// What `body` gives in the first process, in all of them. The others do not run it, and wait; an error of it is thrown in all.
  ///
  /// - Parameter place: what all processes have to come to at the same time, in words.
  package func first(_ place: String, _ body: () throws -> JSONValue) throws -> JSONValue {
    if count == 1 { return try body() }
    let given = Result { rank == 0 ? try body() : .null }
    let answers = Result { try exchange(given.map { Message(place, $0) }) }
    // Only this process could fail: which one it was is no news.
    if rank == 0 { _ = try given.get() }
    return try answers.get()[0].value()
  }

  /// What each process gives, by rank. An error of one is thrown in all.
  package func all(_ place: String, _ value: @autoclosure () throws -> JSONValue) throws -> [JSONValue] {
    try exchange(Result { Message(place, try value()) }).map { try $0.value() }
  }

  /// Tells the other processes that this one has nothing more to do, and waits until this is so of all of them. Those that are at work
  /// throw what this one ended with.
  package func end(with error: (any Error)?) throws {
    guard count > 1 else { return }
    let message = Message(ended: error)
    comes(to: "the end of the run")
    while try !allGather(message.bytes).allSatisfy({ Message(bytes: $0).kind == .ended }) {}
  }

  /// Sends a message, and gives those of all. An error of this process, or of another one, is thrown in all of them, and so is it that a
  /// process has come to another place than the first one.
  private func exchange(_ own: Result<Message, any Error>) throws -> [Message] {
    let message: Message
    switch own {
    case .success(let given): message = given
    case .failure(let error): message = Message(failed: error)
    }
    comes(to: message.placeInWords)
    let answers = try allGather(message.bytes).map { Message(bytes: $0) }
    if case .failure(let error) = own, !answers[..<rank].contains(where: { $0.error != nil }) {
      // The error itself is more than what is left of it after the way through the others.
      throw (error as? EngineError)?.at(name(rank)) ?? error
    }
    for (rank, answer) in answers.enumerated() {
      guard let error = answer.error else { continue }
      // All end with the code of the signal that one of them got.
      if let code = answer.exitCode { Interrupt.adopt(exitCode: code) }
      throw error.at(name(rank))
    }
    let places = answers.map(\.placeInWords)
    if let other = places.firstIndex(where: { $0 != places[0] }) {
      throw EngineError(
        .argument, "\(name(0)) has come to \(places[0]), and \(name(other)) to \(places[other]): the script does not do the same in every process",
        hint: "what it does must not depend on the clock, the machine, or files that not all processes see")
    }
    return answers
  }

  package func name(_ rank: Int) -> String { "process \(rank + 1) of \(count)" }
}

/// What a process says to the others, as bytes: what it computed for a batch (the loss, and the gradients that there are), what it has at
/// a place, that it failed there, or that it has left.
private struct Message {
  enum Kind: UInt8 {
    case failed, update, place, ended
  }

  private(set) var bytes: [UInt8]
  private var position = 0

  init(bytes: [UInt8]) {
    self.bytes = bytes
    position = 9
  }

  private init(_ kind: Kind, _ texts: [String]) { bytes = [kind.rawValue] + Array(texts.joined(separator: "\0").utf8) }

  init(_ place: String, _ value: JSONValue) { self.init(.place, [place, value.encoded(.line)]) }

  init(failed error: any Error) { self.init(.failed, Self.texts(of: error)) }

  init(ended error: (any Error)?) { self.init(.ended, error.map(Self.texts) ?? []) }

  init(loss: Double, _ parameters: [Tensor]) {
    bytes = [Kind.update.rawValue]
    withUnsafeBytes(of: loss) { bytes += $0 }
    for parameter in parameters {
      guard let grad = parameter.grad else {
        bytes.append(0)
        continue
      }
      bytes.append(1)
      bytes += UnsafeRawBufferPointer(start: grad.pointer, count: grad.count * grad.dtype.size)
    }
  }

  private static func texts(of error: any Error) -> [String] {
    let kind = isInterruption(error) ? EngineError.Kind.interrupted : .argument
    let error = error as? EngineError ?? EngineError(kind, "\(error)")
    guard kind == .interrupted else { return [error.kind.rawValue, error.message, error.hint ?? ""] }
    // One that passes on what another process was interrupted by has its words already.
    let signal = " by \(Interrupt.signalName)"
    let message = error.message.hasSuffix(signal) ? error.message : error.message + signal
    return [kind.rawValue, message, error.hint ?? "", String(Interrupt.exitCode)]
  }

  var kind: Kind { bytes.first.flatMap(Kind.init) ?? .failed }

  private var texts: [String] {
    String(decoding: bytes.dropFirst(), as: UTF8.self).split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
  }

  /// What the process failed or ended with.
  var error: EngineError? {
    guard kind == .failed || kind == .ended, texts.count >= 3 else { return nil }
    return EngineError(EngineError.Kind(rawValue: texts[0]) ?? .argument, texts[1], hint: texts[2].isEmpty ? nil : texts[2])
  }

  /// With what the process ends, where a signal ended it.
  var exitCode: Int32? { texts.count > 3 ? Int32(texts[3]) : nil }

  var place: String { kind == .ended ? "its end" : texts[0] }

  var placeInWords: String {
    switch kind {
    case .update: "an update"
    case .failed: "an error"
    case .place, .ended: place
    }
  }

  func value() throws -> JSONValue { try JSONValue(parsing: Array((texts.last ?? "").utf8), source: place) }

  var loss: Double { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 1, as: Double.self) } }

  mutating func nextGradient(like parameter: Tensor) throws -> Tensor? {
    guard position < bytes.count else { throw Self.otherParameters }
    defer { position += 1 }
    guard bytes[position] == 1 else { return nil }
    let gradient = try Tensor(uninitialized: parameter.shape, parameter.gradientDType)
    let size = gradient.count * gradient.dtype.size
    guard position + size < bytes.count else { throw Self.otherParameters }
    bytes.withUnsafeBytes { gradient.pointer.copyMemory(from: $0.baseAddress! + position + 1, byteCount: size) }
    position += size
    return gradient
  }

  /// Throws where there is more than this process's parameters.
  func requireEnd() throws {
    guard position == bytes.count else { throw Self.otherParameters }
  }

  private static let otherParameters = EngineError(
    .argument, "the processes train other parameters than each other", hint: "what a script freezes must be the same in every process")
}
