import Foundation
import TensorCore
import TestSupport
import Testing

@Suite(.engine) struct ProfileTests {
  /// One operation of each kind and what it must be counted as.
  private static let operations: [(kind: Profile.Kind, body: @Sendable (Tensor) throws -> Void)] = [
    (.products, { _ = try $0.linear($0) }),
    (.attention, { _ = try $0.attention(keys: $0, values: $0, heads: 4, offsets: Offsets(lengths: [16, 48])) }),
    (.normalisation, { _ = try $0.layerNorm(.ones([64]), .zeros([64])) }),
    (.elementwise, { _ = try $0.unary(.gelu) }),
    (.random, { _ = try $0.dropout(Dropout(p: 0.1, source: RandomSource(seed: 1))) }),
    (.rows, { _ = try $0.gatherRows([3, 1]) }),
    (.optimizer, { _ = $0.sumOfSquares }),
    (.copies, { _ = try $0.converted(to: .bfloat16) }),
    (.other, { _ = $0.firstNonFinite }),
  ]

  @Test(arguments: Profile.Kind.allCases) func countsAsItsKind(_ kind: Profile.Kind) throws {
    let operation = try #require(Self.operations.first { $0.kind == kind })
    let x = try Tensor.randn([64, 64], RandomSource(seed: 1))
    let measurement = Profile.start()
    for _ in 0..<5 { try operation.body(x) }
    let profile = measurement.stop()
    #expect(profile[kind].calls >= 5)
    #expect(profile[kind].seconds > 0)
    // Attention: two products of each query with the keys of its sequence.
    let operations: [Profile.Kind: Double] = [.products: 5 * 2 * 64 * 64 * 64, .attention: 5 * 2 * 2 * 64 * (16 * 16 + 48 * 48)]
    #expect(profile[kind].operations == operations[kind] ?? 0)
    let bytes: [Profile.Kind: Double] = [.normalisation: 5 * 2 * 4 * 4096, .elementwise: 5 * 2 * 4 * 4096, .random: 5 * 2 * 4 * 4096]
    #expect(profile[kind].bytes == bytes[kind] ?? 0)
    // Products inside attention, and loops inside every kernel, are not counted a second time. Operations may fill
    // what they return.
    for rest in Profile.Kind.allCases where rest != kind && rest != .elementwise { #expect(profile[rest].calls == 0) }
  }

  @Test func kindsAddUpToNoMoreThanTheTimeThatPassed() throws {
    let x = try Tensor.randn([256, 64], RandomSource(seed: 1)).requiresGrad(true)
    let started = ContinuousClock.now
    let measurement = Profile.start()
    for _ in 0..<3 {
      let y = try x.attention(keys: x, values: x, heads: 4, offsets: Offsets(lengths: [256]))
      try y.layerNorm(.ones([64]), .zeros([64])).backward(gradient: .ones([256, 64]))
    }
    let profile = measurement.stop()
    let sum = Profile.Kind.allCases.reduce(0) { $0 + profile[$1].seconds }
    #expect(sum > 0)
    #expect(sum <= profile.seconds)
    #expect(profile.seconds <= started.duration(to: .now).seconds)
    #expect(abs(profile.secondsOutside - (profile.seconds - sum)) < 1e-9)
  }

  @Test func nothingCountsOutsideOfAMeasurementOrOnOtherThreads() throws {
    let x = try Tensor.randn([64, 64], RandomSource(seed: 1))
    _ = Profile.start().stop()
    _ = x.sumOfSquares
    let measurement = Profile.start()
    let values = x.values
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      if let y = try? Tensor(values.map(Float.init), [64, 64]) { for _ in 0..<10 { _ = y.sumOfSquares } }
      done.signal()
    }
    thread.start()
    done.wait()
    let profile = measurement.stop()
    for kind in Profile.Kind.allCases { #expect(profile[kind].calls == 0, "\(kind.name)") }
  }
}
