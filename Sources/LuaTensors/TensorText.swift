import Foundation
import TensorCore

/// Writes tensors as PyTorch does: nested brackets, columns of one width, the middle of long axes
/// left out.
struct TensorText {
  private let tensor: Tensor
  /// Axes longer than this show this many elements: half of them from each end.
  private let shown = 6
  private var cells: [Int: String] = [:]
  private var width = 0

  init(_ tensor: Tensor) {
    self.tensor = tensor
    let indices = tensor.count > 0 ? visible(tensor.shape[...], 0, tensor.count) : []
    let format = NumberFormat(indices.map { tensor.element($0) })
    for index in indices {
      let cell = format.text(tensor.element(index))
      cells[index] = cell
      width = max(width, cell.count)
    }
  }

  /// "tensor([[1, 2],\n        [3, 4]], shape=[2, 2], dtype=float32)".
  var text: String {
    let start = "tensor("
    var content = "[]"
    if tensor.count > 0 { content = block(tensor.shape[...], 0, tensor.count, indent: start.count) }
    let sizes = tensor.shape.map(String.init).joined(separator: ", ")
    return start + content + ", shape=[\(sizes)], dtype=\(tensor.dtype.rawValue)"
      + (tensor.requiresGrad ? ", requires_grad=true)" : ")")
  }

  /// The positions that are shown along an axis; nil for what is left out.
  private func positions(_ size: Int) -> [Int?] {
    guard size > shown else { return Array(0..<size) }
    return Array(0..<shown / 2) + [nil] + Array(size - shown / 2..<size)
  }

  /// Row-major indices of the elements that are shown.
  private func visible(_ sizes: ArraySlice<Int>, _ start: Int, _ count: Int) -> [Int] {
    guard let size = sizes.first else { return [start] }
    let step = count / size
    return positions(size).compactMap { $0 }.flatMap {
      visible(sizes.dropFirst(), start + $0 * step, step)
    }
  }

  private func block(_ sizes: ArraySlice<Int>, _ start: Int, _ count: Int, indent: Int) -> String {
    guard let size = sizes.first else {
      let cell = cells[start] ?? ""
      return String(repeating: " ", count: (tensor.rank == 0 ? 0 : width - cell.count)) + cell
    }
    let step = count / size
    let parts = positions(size).map { position in
      position.map { block(sizes.dropFirst(), start + $0 * step, step, indent: indent + 1) }
        ?? "..."
    }
    let inner = sizes.count - 1
    let separator =
      inner == 0
      ? ", "
      : "," + String(repeating: "\n", count: inner) + String(repeating: " ", count: indent + 1)
    return "[" + parts.joined(separator: separator) + "]"
  }
}

/// One way to write all numbers of a tensor: whole, with four digits after the point, or with an
/// exponent.
private struct NumberFormat {
  private enum Style {
    case whole, fixed, exponent
  }
  private let style: Style

  init(_ values: [Double]) {
    let sizes = values.filter { $0.isFinite && $0 != 0 }.map(abs)
    let (smallest, largest) = (sizes.min() ?? 1, sizes.max() ?? 1)
    if largest < 1e9, sizes.allSatisfy({ $0 == $0.rounded() }) {
      style = .whole
    } else {
      style = largest >= 1e6 || smallest < 1e-4 ? .exponent : .fixed
    }
  }

  func text(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    switch style {
    case .whole: return String(Int(value))
    case .fixed: return String(format: "%.4f", value)
    case .exponent: return String(format: "%.4e", value)
    }
  }
}
