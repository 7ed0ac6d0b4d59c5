import Diagnostics
import Files
import TensorCore
import TestSupport
import Testing

@testable import Benchmarks

@Suite struct UtilisationTests {
  private let profile = Profile(
    seconds: 4.5,
    [
      .products: .init(seconds: 2, calls: 3, operations: 1e12), .attention: .init(seconds: 1, calls: 1, operations: 1e11),
      .elementwise: .init(seconds: 0.8, calls: 2, bytes: 8e9), .copies: .init(seconds: 0.2, calls: 1),
    ])

  @Test func arithmeticAndBytesBesideTheirLimits() throws {
    let limits = MachineLimits(copyBandwidth: 20e9, fp32Speed: 1e12, bf16Speed: 2e12)
    let fp32 = Utilisation(profile, limits, .fp32)
    #expect(fp32.operations == 1.1e12)
    #expect(abs((fp32.modelFLOPs ?? 0) - 1.1 / 4.5) < 1e-12)
    let shares = Dictionary(uniqueKeysWithValues: fp32.parts.map { ($0.name, $0.shareOfLimit) })
    #expect(shares["products"] == 0.5 && shares["attention"] == 0.1 && shares["elementwise"] == 0.5)
    // Nobody counted the bytes of copies, and what is outside kernels has no limit to come near to.
    #expect(shares["conversion/copies"] == .some(nil) && shares["outside kernels"] == .some(nil))
    #expect(fp32.slowest?.name == "products")
    let bf16 = Utilisation(profile, limits, .bf16)
    #expect(abs((bf16.modelFLOPs ?? 0) - 0.55 / 4.5) < 1e-12)
  }

  /// What takes most time beyond its limit, and not what is furthest from it in proportion.
  @Test func theSlowestPart() throws {
    let limits = MachineLimits(copyBandwidth: 20e9, fp32Speed: 1e12, bf16Speed: nil)
    var parts: [Profile.Kind: Profile.Entry] = [
      .products: .init(seconds: 10, calls: 1, operations: 9e12), .attention: .init(seconds: 0.5, calls: 1, operations: 1e10),
    ]
    #expect(Utilisation(Profile(seconds: 10.6, parts), limits, .fp32).slowest?.name == "products")
    #expect(Utilisation(Profile(seconds: 12, parts), limits, .fp32).slowest?.name == "outside kernels")
    parts[.products] = .init(seconds: 10, calls: 1, operations: 9.8e12)
    #expect(Utilisation(Profile(seconds: 10.6, parts), limits, .fp32).slowest?.name == "attention")
    // Without bf16 units products run in fp32, and nothing is compared with a unit that is not there.
    let bf16 = Utilisation(Profile(seconds: 10.6, parts), limits, .bf16)
    #expect(bf16.peak == 1e12 && bf16.slowest?.name == "attention")
    let none = Utilisation(Profile(seconds: 10.6, parts), MachineLimits(copyBandwidth: 0, fp32Speed: nil, bf16Speed: nil), .fp32)
    #expect(none.modelFLOPs == nil && none.slowest?.name == "outside kernels")
  }
}

@Suite struct ReportComparisonTests {
  private func report(_ host: String, _ speed: Double, _ kernel: Double, megabytes: Int = 500) -> JSONObject {
    [
      "benchmark": "step", "threads": 2, "host": ["cpu": .string(host), "cpu_flags": ["avx2", "fma"]], "dropout": 0.1,
      "tokens_per_s": .double(speed), "peak_rss_mb": .int(megabytes), "share_by_kind": ["products": .double(kernel)],
      "kernels": [["name": "gelu", "shape": "4 x 4", "seconds": ["median": .double(kernel)], "difference": .null]],
    ]
  }

  @Test func ratiosOfWhatWasMeasured() throws {
    let same = ReportComparison(report("A", 300, 0.5, megabytes: 250), beside: report("A", 200, 2), path: "old.json")
    #expect(same.differences.isEmpty)
    #expect(
      same.lines == [
        .init(name: "tokens_per_s", before: 200, now: 300), .init(name: "peak_rss_mb", before: 500, now: 250),
        .init(name: "kernels.gelu 4 x 4.seconds.median", before: 2, now: 0.5),
      ])
    #expect(same.lines.map(\.ratio) == [1.5, 0.5, 0.25])
    #expect(ReportComparison(report("A", 1, 1), beside: report("A", 0, 1), path: "old.json").lines.first?.ratio == .some(nil))
  }

  @Test func whatDiffersBeside() throws {
    var other = report("B", 200, 2)
    (other["threads"], other["dropout"], other["precision"]) = (1, 0, "bf16")
    var now = report("A", 200, 2)
    now["model"] = "x"
    let comparison = ReportComparison(now, beside: other, path: "old.json")
    #expect(
      comparison.differences == [
        .init(name: "threads", before: "1", now: "2"), .init(name: "host.cpu", before: "B", now: "A"),
        .init(name: "dropout", before: "0", now: "0.1"), .init(name: "model", before: "nothing", now: "x"),
      ])
  }

  @Test func filesThatAreNoReport() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/old.json"
      for (text, message) in [
        ("{\"benchmark\": \"layer\"}", "--compare \(path): it is a report of 'bench layer', this is 'bench step'"),
        ("[1]", "--compare \(path): it is no benchmark's report; write one with perigee bench step --json > FILE"),
        ("{", "\(path)"),
      ] {
        try AtomicFile.write(text, to: path)
        do {
          _ = try ReportComparison.earlier(path, of: "step")
          Issue.record("no error: expected '\(message)'")
        } catch { #expect("\(error)".hasPrefix(message), "\(error)") }
      }
      // What --json prints is read as it was.
      let made = report("A", 200, 2)
      try AtomicFile.write(JSONValue.object(made).encoded(.line), to: path)
      #expect(ReportComparison(made, beside: try ReportComparison.earlier(path, of: "step"), path: path).differences.isEmpty)
    }
  }
}
