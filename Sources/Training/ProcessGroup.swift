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
  /// Sends each process a part of what this one has, and receives one from each: sent[sending[r]] goes to process r, and what process r
  /// sends to this one becomes received[receiving[r]]. Ranges are bytes, and those of the two sides of a way are equally long; what is
  /// empty is not sent. Every process has to call it equally often. Throws where a process cannot be reached.
  func allToAll(
    _ sent: UnsafeRawBufferPointer, _ sending: [Range<Int>], into received: UnsafeMutableRawBufferPointer, _ receiving: [Range<Int>]) throws
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

  public func allToAll(
    _ sent: UnsafeRawBufferPointer, _ sending: [Range<Int>], into received: UnsafeMutableRawBufferPointer, _ receiving: [Range<Int>]
  ) {
    UnsafeMutableRawBufferPointer(rebasing: received[receiving[0]]).copyMemory(from: UnsafeRawBufferPointer(rebasing: sent[sending[0]]))
  }
}

extension ProcessGroup {
  /// Runs `compute` for the items that are this process's, and makes the gradients of all items' parameters their sum, in the order
  /// of the items, in every process. Returns the sum of what `compute` returned for the items.
  ///
  /// - Parameter separately: whether one process alone computes each item's gradients by themselves too, and adds them up then: the same
  ///   bits as many processes, without exception.
  ///
  /// An error in one process ends the update in all of them.
  package func sum(
    of items: Range<Int>, into parameters: @autoclosure () -> [Tensor], separately: Bool = false, _ compute: (Int) throws -> Double
  ) throws -> Double {
    if count == 1, !separately { return try items.reduce(0) { $0 + (try compute($1)) } }
    return count == 1
      ? try sumAlone(of: items, into: parameters(), compute) : try sumTogether(of: items, into: parameters(), compute)
  }

  private func sumAlone(of items: Range<Int>, into parameters: [Tensor], _ compute: (Int) throws -> Double) throws -> Double {
    var total = 0.0
    var sums = [Tensor?](repeating: nil, count: parameters.count)
    for item in items {
      for parameter in parameters { parameter.grad = nil }
      total += try compute(item)
      for (i, parameter) in parameters.enumerated() {
        guard let gradient = parameter.grad else { continue }
        sums[i] = try Autograd.noGrad { try sums[i].map { try $0.add(gradient) } ?? gradient }
      }
    }
    for (parameter, sum) in zip(parameters, sums) { parameter.grad = sum }
    return total
  }

  private func sumTogether(of items: Range<Int>, into parameters: [Tensor], _ compute: (Int) throws -> Double) throws -> Double {
    var (total, sums) = (0.0, SlicedGradients?.none)
    for first in stride(from: items.lowerBound, to: items.upperBound, by: count) {
      for parameter in parameters { parameter.grad = nil }
      let item = first + rank
      // Whatever can fail in this process alone comes before the exchange, which tells the others.
      let own = Result {
        let loss = item < items.upperBound ? try compute(item) : 0
        let slices = try sums ?? SlicedGradients(parameters, pieces: items.count, self)
        slices.take()
        sums = slices
        return Message(loss: loss, parameters)
      }
      let answers = try exchange(own).prefix(items.upperBound - first)
      for answer in answers { total += answer.loss }
      try sums?.add(try answers.map { try $0.presence(of: parameters) })
    }
    try sums?.finish()
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

/// What a process says to the others, as bytes: what it computed for a batch (the loss, and which gradients there are), what it has at a
/// place, that it failed there, or that it has left.
private struct Message {
  enum Kind: UInt8 {
    case failed, update, place, ended
  }

  private(set) var bytes: [UInt8]

  init(bytes: [UInt8]) { self.bytes = bytes }

  private init(_ kind: Kind, _ texts: [String]) { bytes = [kind.rawValue] + Array(texts.joined(separator: "\0").utf8) }

  init(_ place: String, _ value: JSONValue) { self.init(.place, [place, value.encoded(.line)]) }

  init(failed error: any Error) { self.init(.failed, Self.texts(of: error)) }

  init(ended error: (any Error)?) { self.init(.ended, error.map(Self.texts) ?? []) }

  init(loss: Double, _ parameters: [Tensor]) {
    bytes = [Kind.update.rawValue]
    withUnsafeBytes(of: loss) { bytes += $0 }
    withUnsafeBytes(of: SlicedGradients.layout(of: parameters)) { bytes += $0 }
    // A bit for each parameter.
    for begin in stride(from: 0, to: parameters.count, by: 8) {
      bytes.append(parameters[begin..<min(begin + 8, parameters.count)].reversed().reduce(0) { $0 << 1 | ($1.grad == nil ? 0 : 1) })
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

  /// Whether there is a gradient, for each parameter. Throws where they are not this process's parameters.
  func presence(of parameters: [Tensor]) throws -> [Bool] {
    let layout = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 9, as: UInt64.self) }
    guard layout == SlicedGradients.layout(of: parameters), bytes.count == 17 + (parameters.count + 7) / 8 else { throw Self.otherParameters }
    return parameters.indices.map { bytes[17 + $0 / 8] >> UInt8($0 % 8) & 1 == 1 }
  }

  private static let otherParameters = EngineError(
    .argument, "the processes train other parameters than each other", hint: "what a script freezes must be the same in every process")
}
