import Diagnostics
import TensorCore
import TransformerModels

/// The processes that train one model together, each with a copy of it.
///
/// The batches of an update are shared out by their numbers: of n processes, process r computes the batches r, n + r, 2n + r and
/// so on. The gradients are then added in the order of the batches, whoever computed them, so every process makes the same update,
/// and how many processes there are changes no result. There are two exceptions. Of a parameter that two layers share, the parts of one
/// batch are added up before they are added to those of another batch. And a script's loss that runs the model more than once for a
/// batch draws other dropout masks.
public protocol ProcessGroup: AnyObject {
  /// Number of this process, from 0.
  var rank: Int { get }
  /// Number of processes.
  var count: Int { get }
  /// What every process gives, by rank. Every process has to call it equally often. Throws where a process cannot be reached.
  func allGather(_ bytes: [UInt8]) throws -> [[UInt8]]
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
  /// An error in one process ends the update in all of them.
  func sum(of items: Range<Int>, into parameters: @autoclosure () -> [Tensor], _ compute: (Int) throws -> Double) throws -> Double {
    if count == 1 { return try items.reduce(0) { $0 + (try compute($1)) } }
    let parameters = parameters()
    var total = 0.0
    var sums = [Tensor?](repeating: nil, count: parameters.count)
    for first in stride(from: items.lowerBound, to: items.upperBound, by: count) {
      for parameter in parameters { parameter.grad = nil }
      let item = first + rank
      let result = Result { item < items.upperBound ? try compute(item) : 0 }
      for (rank, answer) in try allGather(Contribution(result, parameters).bytes).enumerated() where first + rank < items.upperBound {
        var contribution = Contribution(bytes: answer)
        total += try contribution.value(from: rank, of: count)
        for (i, parameter) in parameters.enumerated() {
          guard let gradient = try contribution.nextGradient(like: parameter) else { continue }
          sums[i] = try Autograd.noGrad { try sums[i].map { try $0.add(gradient) } ?? gradient }
        }
      }
    }
    for (parameter, sum) in zip(parameters, sums) { parameter.grad = sum }
    return total
  }
}

/// What a process computed for a batch, as bytes: whether it could, the loss, and the gradients that there are.
private struct Contribution {
  private(set) var bytes: [UInt8] = []
  private var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  init(_ result: Result<Double, any Error>, _ parameters: [Tensor]) {
    switch result {
    case .success(let value):
      bytes = [1]
      withUnsafeBytes(of: value) { bytes += $0 }
      for parameter in parameters {
        guard let grad = parameter.grad else {
          bytes.append(0)
          continue
        }
        bytes.append(1)
        bytes += UnsafeRawBufferPointer(start: grad.pointer, count: grad.count * grad.dtype.size)
      }
    case .failure(let error):
      let error = error as? EngineError ?? EngineError(.argument, "\(error)")
      bytes = [0] + Array([error.kind.rawValue, error.message, error.hint ?? ""].joined(separator: "\0").utf8)
    }
  }

  /// The loss. Throws the error of the process that had one.
  mutating func value(from rank: Int, of count: Int) throws -> Double {
    guard bytes.first == 1 else {
      let parts = String(decoding: bytes.dropFirst(), as: UTF8.self).split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
      let hint = parts.count > 2 && !parts[2].isEmpty ? parts[2] : nil
      throw EngineError(EngineError.Kind(rawValue: parts.first ?? "") ?? .argument, parts.count > 1 ? parts[1] : "failed", hint: hint)
        .at("process \(rank + 1) of \(count)")
    }
    position = 9
    return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 1, as: Double.self) }
  }

  mutating func nextGradient(like parameter: Tensor) throws -> Tensor? {
    defer { position += 1 }
    guard bytes[position] == 1 else { return nil }
    let gradient = try Tensor(uninitialized: parameter.shape, parameter.gradientDType)
    let size = gradient.count * gradient.dtype.size
    bytes.withUnsafeBytes { gradient.pointer.copyMemory(from: $0.baseAddress! + position + 1, byteCount: size) }
    position += size
    return gradient
  }
}
