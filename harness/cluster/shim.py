"""The OCI runtime for machines on which not every capability can be had: it stands before runc and asks for fewer.

Here belong the two small programs, as text, and writing them. Registering them with the engine does not: that is
`harness.cluster.provision`.

In nested sandboxes the bounding set may lack a capability. Privileged containers, which a cluster's nodes are, ask for
all of them, and runc then fails with "unable to apply caps". What to strip is read from the kernel each time, so that
on a machine that lacks nothing the programs change nothing. They never ask for more.
Sources: OCI runtime specification (config.json, process.capabilities), runc(8), capabilities(7).
"""

from __future__ import annotations

from pathlib import Path

PATH = "/usr/local/lib/drill/oci-runtime"
EDITOR = "fewer-capabilities.py"

# In shell, because the engine calls its runtime several times a container and only two of the verbs concern us.
RUNTIME = """\
#!/bin/sh
# Written by drill. Runs runc, after taking out of what it is asked for the capabilities that this machine cannot give.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin
verb= value= bundle=. process=
for word in "$@"; do
  case "$value" in
    bundle) bundle=$word; value=; continue;;
    process) process=$word; value=; continue;;
    skip) value=; continue;;
  esac
  if [ -z "$verb" ]; then
    case "$word" in
      --root|--log|--log-format|--criu|--rootless) value=skip;;
      -*) ;;
      *) verb=$word;;
    esac
    continue
  fi
  case "$word" in
    --bundle|-b) value=bundle;;
    --bundle=*|-b=*) bundle=${word#*=};;
    --process|-p) value=process;;
    --process=*|-p=*) process=${word#*=};;
    --console-socket|--pid-file|--preserve-fds|--cgroup) value=skip;;
  esac
done
file=
case "$verb" in
  create|run) file=$bundle/config.json;;
  exec) file=$process;;
esac
if [ -n "$file" ] && [ -f "$file" ]; then
  python3 -I -S "${0%/*}/fewer-capabilities.py" "$file" || exit 1
fi
exec runc "$@"
"""

PROGRAM = '''\
"""Written by drill. Takes out of an OCI config.json or process.json the capabilities outside our bounding set."""
import json
import os
import sys

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def bounding(status="/proc/self/status"):
    with open(status) as lines:
        return next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:"))


def fewer(document, allowed):
    """Strip in place; True if anything went."""
    process = document.get("process", document)  # config.json holds a process, process.json is one
    wanted = process.get("capabilities") or {}
    missing = {"CAP_" + name for bit, name in enumerate(NAMES) if not allowed >> bit & 1}
    changed = False
    for kind, names in wanted.items():
        kept = [name for name in names or [] if name not in missing]
        changed |= len(kept) != len(names or [])
        wanted[kind] = kept
    return changed


def main(path):
    with open(path) as file:
        document = json.load(file)
    if fewer(document, bounding()):
        draft = path + ".drill"
        with open(draft, "w") as file:
            os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777)
            json.dump(document, file)
        os.replace(draft, path)


if __name__ == "__main__":
    main(sys.argv[1])
'''


def write(runtime: Path) -> None:
    """Write both programs, the runtime at `runtime` and its editor beside it; whole or not at all."""
    runtime.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((runtime.with_name(EDITOR), PROGRAM), (runtime, RUNTIME)):
        draft = path.with_name(path.name + ".draft")
        draft.write_text(text)
        draft.chmod(0o755)
        draft.replace(path)
