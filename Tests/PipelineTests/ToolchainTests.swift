import Files
import Foundation
import TestSupport
import Testing

/// `scripts/toolchain.sh` on a machine without Swift, with a server on loopback in the place of swift.org.
@Suite(.enabled(if: hasDownloadTools, "gpg, curl and python3 are not all there")) struct ToolchainTests {
  /// A folder of programs without Swift; a server with an archive of swiftly that was signed by a key of its own; and `attempt
  /// ARGUMENTS...`, which reads the script as quickstart.sh does and prints what came of it.
  private static let setting = """
    set -uo pipefail
    mkdir bin server server/swiftly server/swiftly/linux home made
    for tool in bash sh env mktemp tar gzip gpg gpgv gpg-agent curl uname sed tail id rm cat mkdir cp chmod; do
      ln -s "$(command -v $tool)" bin/$tool 2>/dev/null
    done
    cat >made/swiftly <<'END'
    #!/bin/sh
    echo "$*" >>"$HOME/calls"
    case $1 in
      init) mkdir -p "$SWIFTLY_BIN_DIR"; cp "$0" "$SWIFTLY_BIN_DIR/swiftly" ;;
      install)
        printf '#!/bin/sh\\necho "Swift Package Manager - Swift 6.1.2"\\n' >"$SWIFTLY_BIN_DIR/swift"
        chmod 755 "$SWIFTLY_BIN_DIR/swift"
        echo 'echo packages of the toolchain' >"$6" ;;
    esac
    END
    chmod 755 made/swiftly
    archive=server/swiftly/linux/swiftly-$(uname -m).tar.gz
    tar czf $archive -C made swiftly
    export GNUPGHOME=$PWD/keys
    mkdir -m 700 keys
    for name in swift other; do gpg --batch --quiet --passphrase '' --quick-generate-key $name@localhost default sign never; done 2>/dev/null
    gpg --batch --quiet --local-user swift@localhost --detach-sign --output $archive.sig $archive
    gpg --armor --export swift@localhost >server/keys.asc
    gpg --armor --export other@localhost >server/other.asc
    gpgconf --kill all
    python3 -u -m http.server 0 --bind 127.0.0.1 --directory server >port 2>/dev/null & served=$!
    trap 'kill -9 $served' EXIT
    for i in $(seq 100); do grep -q port port && break; sleep 0.1; done
    from=http://127.0.0.1:$(sed -n 's/.* port \\([0-9]*\\).*/\\1/p' port) keys=keys.asc
    attempt() {
      env -i HOME=$PWD/home PATH=$PWD/bin PERIGEE_SWIFT_DOWNLOADS=$from PERIGEE_SWIFT_KEYS=$from/$keys ${extra:-X=1} \\
        bash -euo pipefail -c '. "$0"; toolchain_works && command -v swift || echo none; echo "left: $*"' SCRIPT "$@" 2>log </dev/null
    }

    """.replacing("SCRIPT", with: "'\(packageRoot)/scripts/toolchain.sh'")

  private func run(_ script: String, in folder: String) throws -> Outcome { try bash(["-c", Self.setting + script], in: folder) }

  @Test func signedToolchainsAreInstalled() throws {
    try withTemporaryFolder { folder in
      let outcome = try run(
        """
        attempt --yes --set r=16; grep -c 'by swiftly, into' log; cat home/calls; grep -c 'packages of the toolchain' log
        attempt a b; wc -l <home/calls
        """, in: folder)
      let swift = realPath(folder)! + "/home/.local/share/swiftly/bin/swift"
      let lines = outcome.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      #expect(lines.prefix(4) == [swift, "left: --set r=16", "1", "init --skip-install --assume-yes --quiet-shell-followup"], "\(outcome)")
      #expect(lines.dropFirst(4).first?.hasPrefix("install latest --use --assume-yes --post-install-file ") == true, "\(outcome)")
      // The second time it is there, and nothing is installed.
      #expect(lines.suffix(3) == [swift, "left: a b", "2"], "\(outcome)")
    }
  }

  @Test(arguments: [
    ("printf x >>$archive", "has no good signature by swift.org"), ("keys=other.asc", "has no good signature by swift.org"),
    ("rm $archive.sig", "could not be downloaded"), ("from=http://127.0.0.1:1", "could not be downloaded"),
  ])
  func nothingElseIsRun(_ change: String, _ message: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try run("\(change)\nattempt --yes; cat log; ls home", in: folder)
      #expect(outcome.output.hasPrefix("none\nleft: \n"), "\(outcome)")
      #expect(outcome.output.contains(message) && outcome.output.contains("error: there is no 'swift' on the PATH"), "\(outcome)")
      #expect(outcome.output.contains("./swiftly init") && !outcome.output.hasSuffix("calls\n"), "\(outcome)")
    }
  }

  @Test func nothingIsInstalledWithoutAWord() throws {
    try withTemporaryFolder { folder in
      let outcome = try run("attempt; attempt --no-install x; extra=CI=1; attempt --no-install; ls home; attempt; wc -l <home/calls", in: folder)
      let lines = outcome.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      #expect(lines.prefix(6) == ["none", "left:", "none", "left: x", "none", "left:"] && lines.last == "2", "\(outcome)")
    }
  }

  /// Debian 13 and recent Ubuntu have Swift themselves.
  @Test func theDistributionsPackageComesFirst() throws {
    try withTemporaryFolder { folder in
      let outcome = try run(
        """
        printf '#!/bin/sh\\nprintf "swiftlang:\\\\n  Candidate: %%s\\\\n" $(cat '$PWD/version')\\n' >bin/apt-cache
        printf '#!/bin/sh\\necho "$*" >>'$PWD'/apt\\nprintf "#!/bin/sh\\\\necho Swift 6.0\\\\n" >'$PWD'/bin/swift\\nchmod 755 '$PWD'/bin/swift\\n' >bin/apt-get
        printf '#!/bin/sh\\n[ "${2%%%%.*}" -ge 6 ]\\n' >bin/dpkg
        printf '#!/bin/sh\\necho 0\\n' >id; rm bin/id; mv id bin/id
        chmod 755 bin/apt-cache bin/apt-get bin/dpkg bin/id
        echo 6.0.3-2 >version; attempt --yes; cat apt; rm bin/swift apt
        echo 5.9-1 >version; attempt --yes; ls apt
        """, in: folder)
      let lines = outcome.output.split(separator: "\n")
      let root = realPath(folder)!
      #expect(lines.first == "\(root)/bin/swift" && lines.contains { $0.hasSuffix("install -y --no-install-recommends swiftlang") }, "\(outcome)")
      #expect(lines.suffix(2) == ["\(root)/home/.local/share/swiftly/bin/swift", "left: "], "\(outcome)")
    }
  }
}

private let hasDownloadTools = (try? bash(["-c", "command -v gpg && command -v curl && command -v python3"], in: "/").code) == 0
