# What the shell recipes of this folder share; to be sourced, not run.

fail() {
  echo "error: $*" >&2
  exit 1
}

# find_python FOLDER sets python: $PYTHON_BIN, else the environment of the repository that FOLDER lies
# in, else python3.
find_python() {
  local environment=$1/../.venv/bin/python
  python=${PYTHON_BIN:-}
  if [ -z "$python" ] && [ -x "$environment" ]; then
    python=$environment
  elif [ -z "$python" ]; then
    python=$(command -v python3) || fail "no python3 on PATH; run scripts/setup.sh or set PYTHON_BIN"
  fi
}

# read_arguments FLAG "$@": sets folder where --FLAG=... is given, and rest to what stands behind --.
# A switch of its own a recipe takes in a function extra_argument. Calls the recipe's usage.
read_arguments() {
  local flag=$1
  shift
  rest=()
  while [ $# -gt 0 ]; do
    case "$1" in
      --"$flag"=*) folder=${1#*=} ;;
      -h|--help) usage; exit 0 ;;
      --) shift; rest=("$@"); return 0 ;;
      *) extra_argument "$1" || { usage >&2; fail "unknown argument $1"; } ;;
    esac
    shift
  done
}

extra_argument() { return 1; }

# checksum_of FILE md5|sha1|sha256
checksum_of() {
  if command -v "$2sum" >/dev/null 2>&1; then
    "$2sum" "$1" | cut -d ' ' -f 1
  else
    openssl dgst "-$2" -r "$1" | cut -d ' ' -f 1
  fi
}

# download URL FILE [md5|sha1|sha256 SUM]: goes on where a broken-off download stopped; FILE appears
# only when it is complete and, where a sum is known, matches it.
download() {
  local url=$1 file=$2 kind=${3:-} expected=${4:-} found
  if [ -f "$file" ]; then
    echo "already there: $file"
    return 0
  fi
  echo "downloading $url"
  if command -v curl >/dev/null 2>&1; then
    curl --fail --location --retry 5 --continue-at - --output "$file.part" "$url" ||
      fail "download of $url broke off. Run the same command again: it goes on at that place."
  elif command -v wget >/dev/null 2>&1; then
    wget --continue --tries=5 --output-document="$file.part" "$url" ||
      fail "download of $url broke off. Run the same command again: it goes on at that place."
  else
    fail "neither curl nor wget is installed. Download $url by hand to $file and run this again."
  fi
  if [ -n "$expected" ]; then
    found=$(checksum_of "$file.part" "$kind")
    if [ "$found" != "$expected" ]; then
      mv "$file.part" "$file.bad"
      fail "$url: $kind is $found, expected $expected. What came is kept as $file.bad; run the same command again."
    fi
    echo "$kind matches: $file"
  fi
  mv "$file.part" "$file"
}

# unpack ARCHIVE FOLDER: into FOLDER, once; a mark beside what came out says that it is complete.
unpack() {
  local archive=$1 folder=$2 mark
  mark=$folder/.unpacked-$(basename "$archive")
  if [ -f "$mark" ]; then
    echo "already unpacked: $archive"
    return 0
  fi
  echo "unpacking $archive"
  mkdir -p "$folder"
  case "$archive" in
    *.zip) "$python" -m zipfile -e "$archive" "$folder" || fail "cannot unpack $archive" ;;
    *) tar -xf "$archive" -C "$folder" || fail "cannot unpack $archive" ;;
  esac
  : > "$mark"
}
