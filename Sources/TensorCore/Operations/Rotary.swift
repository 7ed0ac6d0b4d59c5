import CKernels
import Diagnostics
import Foundation

/// Cosines and sines of the angles by which rotary positions turn queries and keys.
public final class RotaryTable {
  /// Radians that one position adds to each pair of elements.
  public let frequencies: [Float]
  /// What cosines and sines are multiplied by.
  public let scale: Float
  /// [positions, 2 * pairs], float32: the cosines and then the sines of each position.
  private var table: Tensor?

  /// A scaling for long texts is a change of the frequencies, or of `scale`, and the caller's.
  public init(frequencies: [Float], scale: Float = 1) {
    (self.frequencies, self.scale) = (frequencies, scale)
  }

  /// `base^(-2i / size)` for i in `0..<size / 2`, the frequencies of the paper.
  public convenience init(base: Double, size: Int) {
    self.init(frequencies: stride(from: 0, to: size, by: 2).map { Float(pow(base, -Double($0) / Double(size))) })
  }

  /// A table that has at least the positions `0..<count`; it grows with the longest sequence.
  func covering(_ count: Int) throws -> Tensor {
    if let table, table.rows >= count { return table }
    let pairs = frequencies.count
    let length = max(64, table?.rows ?? 0, count).nextPowerOfTwo
    let new = try Tensor(uninitialized: [length, 2 * pairs])
    for position in 0..<length {
      for (i, frequency) in frequencies.enumerated() {
        let angle = Float(position) * frequency
        new.floats[position * 2 * pairs + i] = cos(angle) * scale
        new.floats[position * 2 * pairs + pairs + i] = sin(angle) * scale
      }
    }
    table = new
    return new
  }
}

extension Int {
  fileprivate var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}

extension Tensor {
  /// Rotary position embedding: elements i and i + pairs of every head are turned by `position * frequency(i)`, in Llama's order
  /// of the elements (halves, not neighbours).
  ///
  /// - `self`: [rows, heads * head size]; elements of a head behind twice the table's pairs stay as they are.
  /// - `positions`: for each row its position in its sequence, from 0; see `Offsets.positions`.
  ///
  /// Paper: Su et al. 2021, arXiv 2104.09864, equation 34.
  public func rotary(_ table: RotaryTable, positions: [Int32], heads: Int) throws -> Tensor {
    let pairs = table.frequencies.count
    guard rank == 2, heads > 0, columns % heads == 0, columns / heads >= 2 * pairs, positions.count == shape[0] else {
      throw EngineError(
        .shape,
        "rotary: \(shape) with \(heads) heads, \(pairs) frequencies, \(positions.count) positions: expected "
          + "[rows, heads * head size], two elements for a frequency, and a position for each row")
    }
    guard positions.allSatisfy({ $0 >= 0 }) else { throw EngineError(.shape, "rotary: a position is negative") }
    try requireActivations("rotary", [self])
    let angles = try table.covering(Int(positions.max() ?? 0) + 1)
    func turned(_ x: Tensor, back: Bool) throws -> Tensor {
      let y = try Tensor(uninitialized: x.shape, x.dtype)
      pg_rotate(
        x.dtype.kernel, positions.count, heads, x.columns / heads, pairs, positions, angles.floats.baseAddress, back, x.pointer,
        y.pointer)
      return y
    }
    let y = try turned(self, back: false)
    Autograd.attach("rotary", to: y, inputs: [self]) { [dtype] dy in [try turned(dy.converted(to: dtype), back: true)] }
    return y
  }
}
