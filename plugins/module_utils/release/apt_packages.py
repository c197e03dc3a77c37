# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which apt packages of Debian and Ubuntu bring what a build asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

COMPILER = "gcc, libc6-dev and python3-dev"
CXX = "g++ and python3-dev"
CLANG = "clang, libc6-dev and python3-dev"
PKG_CONFIG = "pkg-config"
MYSQL = "default-libmysqlclient-dev, pkg-config, gcc, libc6-dev and python3-dev"
XML = "libxml2-dev, libxslt1-dev, gcc, libc6-dev and python3-dev"
XMLSEC = "libxmlsec1-dev, pkg-config, gcc, libc6-dev and python3-dev"
RUST = "rustc and cargo, or a version of the package that has wheels"
POSTGRESQL = "libpq-dev, gcc, libc6-dev and python3-dev"

# Programs; a compiler is found under its plain name, whatever its architecture and version.
PROGRAMS = {
    **dict.fromkeys(("cc", "gcc", "c89", "c99", "cpp"), COMPILER),
    **dict.fromkeys(("g++", "c++"), CXX),
    **dict.fromkeys(("clang", "clang++"), CLANG),
    **dict.fromkeys(("gfortran", "f77", "f90", "f95"), "gfortran"),
    **dict.fromkeys(("rustc", "cargo"), RUST),
    **dict.fromkeys(("ar", "as", "ld", "ranlib", "strip", "objcopy"), "binutils"),
    **dict.fromkeys(("npm", "npx"), "npm"),
    **dict.fromkeys(("pkg-config", "pkgconf"), PKG_CONFIG),
    **dict.fromkeys(("mysql_config", "mariadb_config"), MYSQL),
    **dict.fromkeys(("xml2-config", "xslt-config"), XML),
    **dict.fromkeys(("nc-config", "ncxx4-config"), "libnetcdf-dev"),
    "apxs": "apache2-bin, apache2-dev, gcc, libc6-dev and python3-dev",
    "autoconf": "autoconf",
    "autoreconf": "autoconf, automake and libtool",
    "automake": "automake",
    "aclocal": "automake",
    "bison": "bison",
    "bzr": "brz",
    "cmake": "cmake, make and g++",
    "curl": "curl",
    "dot": "graphviz, libgraphviz-dev, pkg-config, gcc, libc6-dev and python3-dev",
    "curl-config": "libcurl4-openssl-dev, libssl-dev, gcc, libc6-dev and python3-dev",
    "cups-config": "libcups2-dev",
    "flex": "flex",
    "freetype-config": "libfreetype-dev",
    "gdal-config": "libgdal-dev and g++",
    "geos-config": "libgeos-dev and g++",
    "gettext": "gettext",
    "git": "git",
    "git-lfs": "git-lfs",
    "go": "golang-go",
    "hg": "mercurial",
    "java": "default-jre-headless",
    "javac": "default-jdk-headless",
    "krb5-config": "libkrb5-dev, gcc, libc6-dev and python3-dev",
    "libtool": "libtool",
    "libtoolize": "libtool",
    "llvm-config": "llvm-dev",
    "m4": "m4",
    "make": "make",
    "meson": "meson",
    "msgfmt": "gettext",
    "nasm": "nasm",
    "ninja": "ninja-build",
    "node": "nodejs",
    "patch": "patch",
    "patchelf": "patchelf",
    "perl": "perl",
    "pg_config": POSTGRESQL,
    "pcre-config": "libpcre3-dev",
    "proj": "proj-bin, libproj-dev, gcc, libc6-dev and python3-dev",
    "protoc": "protobuf-compiler",
    "rsync": "rsync",
    "ruby": "ruby",
    "sassc": "sassc",
    "svn": "subversion",
    "swig": "swig",
    "unzip": "unzip",
    "wget": "wget",
    "yarn": "yarnpkg (its program is called yarnpkg)",
}
# Headers, by the end of a pattern of their path.
HEADERS = {
    r"Python\.h": "python3-dev (and gcc, libc6-dev)",
    r"(libpq-fe|libpq/.*|pg_config|postgres_ext)\.h": "libpq-dev",
    r"(mysql|mysql/.*|my_config|mariadb/.*)\.h": "default-libmysqlclient-dev and pkg-config",
    r"ffi\.h": "libffi-dev",
    r"openssl/.*": "libssl-dev",
    r"(libxml/.*|libxml2/.*|libxslt/.*|libexslt/.*|xmlversion\.h)": "libxml2-dev and libxslt1-dev",
    r"(xmlsec|xmlsec1)/.*": "libxmlsec1-dev and pkg-config",
    r"(jpeglib|jconfig|turbojpeg)\.h": "libjpeg-dev",
    r"zlib\.h": "zlib1g-dev",
    r"sqlite3\.h": "libsqlite3-dev",
    r"(ldap|lber|sasl/sasl|sasl)\.h": "libldap-dev and libsasl2-dev",
    r"(krb5|krb5/.*|gssapi|gssapi/.*|com_err)\.h": "libkrb5-dev",
    r"magic\.h": "libmagic-dev",
    r"(cairo|cairo/cairo|cairo-.*)\.h": "libcairo2-dev",
    r"(pango|pango/.*)\.h": "libpango1.0-dev",
    r"(ft2build|freetype/.*|freetype2/.*)\.h": "libfreetype-dev",
    r"(gdal|gdal_version|ogr_.*|cpl_.*|gdal/.*)\.h": "libgdal-dev",
    r"(geos_c|geos/.*)\.h": "libgeos-dev",
    r"(proj|proj_api)\.h": "libproj-dev",
    r"uuid/uuid\.h|uuid\.h": "uuid-dev",
    r"lz4.*\.h": "liblz4-dev",
    r"snappy.*\.h": "libsnappy-dev",
    r"zstd\.h": "libzstd-dev",
    r"brotli/.*": "libbrotli-dev",
    r"(zmq|zmq_utils|zmq\.hpp)(\.h)?": "libzmq3-dev",
    r"(hdf5|H5.*)\.h": "libhdf5-dev",
    r"netcdf\.h": "libnetcdf-dev",
    r"portaudio\.h": "portaudio19-dev",
    r"sndfile\.h": "libsndfile1-dev",
    r"alsa/.*": "libasound2-dev",
    r"curl/.*": "libcurl4-openssl-dev and libssl-dev",
    r"(sql|sqlext|odbcinst)\.h": "unixodbc-dev",
    r"(sybdb|sybfront|ctpublic)\.h": "freetds-dev",
    r"(gmp|gmpxx)\.h": "libgmp-dev",
    r"mpfr\.h": "libmpfr-dev",
    r"mpc\.h": "libmpc-dev",
    r"yaml\.h": "libyaml-dev",
    r"(ev|ev\+\+)\.h": "libev-dev",
    r"(event|event2/.*)\.h": "libevent-dev",
    r"uv\.h": "libuv1-dev",
    r"(ares|ares_dns)\.h": "libc-ares-dev",
    r"(sodium|sodium/.*)\.h": "libsodium-dev",
    r"secp256k1.*\.h": "libsecp256k1-dev",
    r"(lzma|lzma/.*)\.h": "liblzma-dev",
    r"bzlib\.h": "libbz2-dev",
    r"(expat|expat_config)\.h": "libexpat1-dev",
    r"readline/.*": "libreadline-dev",
    r"(ncurses|curses|term)\.h": "libncurses-dev",
    r"(pcre|pcrecpp)\.h": "libpcre3-dev",
    r"pcre2\.h": "libpcre2-dev",
    r"(tiff|tiffio)\.h": "libtiff-dev",
    r"png\.h": "libpng-dev",
    r"webp/.*": "libwebp-dev",
    r"lcms2\.h": "liblcms2-dev",
    r"openjpeg.*\.h": "libopenjp2-7-dev",
    r"vips/.*": "libvips-dev",
    r"wand/.*|MagickWand/.*|Magick\+\+\.h": "libmagickwand-dev",
    r"graphviz/.*": "libgraphviz-dev",
    r"(glib|gio/.*|glib-.*)\.h": "libglib2.0-dev",
    r"girepository\.h": "libgirepository1.0-dev",
    r"dbus/.*": "libdbus-1-dev",
    r"systemd/.*": "libsystemd-dev",
    r"security/pam_.*": "libpam0g-dev",
    r"sys/acl\.h|acl/.*": "libacl1-dev",
    r"(attr/.*|sys/xattr\.h)": "libattr1-dev",
    r"pcap(/.*)?\.h": "libpcap-dev",
    r"libusb.*|usb\.h": "libusb-1.0-0-dev",
    r"cups/.*": "libcups2-dev",
    r"leveldb/.*": "libleveldb-dev",
    r"rocksdb/.*": "librocksdb-dev",
    r"lmdb\.h": "liblmdb-dev",
    r"gdbm\.h": "libgdbm-dev",
    r"db(_cxx)?\.h": "libdb-dev",
    r"libmemcached/.*": "libmemcached-dev and zlib1g-dev",
    r"librdkafka/.*": "librdkafka-dev",
    r"rabbitmq.*|amqp\.h": "librabbitmq-dev",
    r"re2/.*": "libre2-dev",
    r"google/protobuf/.*": "libprotobuf-dev",
    r"(cblas|openblas.*|lapacke?)\.h": "libopenblas-dev",
    r"fftw3\.h": "libfftw3-dev",
    r"gsl/.*": "libgsl-dev",
    r"unicode/.*": "libicu-dev",
    r"Eigen/.*": "libeigen3-dev",
    r"boost/.*": "libboost-all-dev",
    r"pybind11/.*": "pybind11-dev",
    r"(poppler|poppler/.*|cpp/poppler.*)\.h": "libpoppler-cpp-dev and pkg-config",
    r"(tesseract|leptonica)/.*": "libtesseract-dev and libleptonica-dev",
    r"enchant.*\.h": "libenchant-2-dev",
    r"hunspell.*": "libhunspell-dev",
    r"libav\w+/.*": "libavformat-dev, libavcodec-dev, libavdevice-dev, libavfilter-dev, libswscale-dev and pkg-config",
    r"maxminddb\.h": "libmaxminddb-dev",
    r"(ibase|firebird/.*)\.h": "firebird-dev",
    r"lua.*\.h": "liblua5.4-dev",
    r"crypt\.h": "libcrypt-dev",
    r"linux/.*": "linux-libc-dev",
    r"(iostream|vector|string|cstd\w+|algorithm|memory)": "g++",
    r"(stdio|stdlib|string|limits|features|errno|stdint|math|assert|unistd)\.h": "libc6-dev",
}
# Libraries as pkg-config, CMake and the linker call them, by the beginning of the name in small letters.
LIBRARIES = {
    **dict.fromkeys(("libpq", "pq", "postgresql"), POSTGRESQL),
    **dict.fromkeys(("mysqlclient", "mariadb", "libmariadb"), MYSQL),
    **dict.fromkeys(("xmlsec", "libxmlsec"), XMLSEC),
    **dict.fromkeys(("libxml-2", "libxml2", "xml2", "libxslt", "libexslt", "xslt"), "libxml2-dev and libxslt1-dev"),
    **dict.fromkeys(("ffi", "libffi"), "libffi-dev"),
    **dict.fromkeys(("openssl", "libssl", "libcrypto", "ssl", "crypto"), "libssl-dev"),
    **dict.fromkeys(("jpeg", "libjpeg"), "libjpeg-dev"),
    **dict.fromkeys(("sqlite3",), "libsqlite3-dev"),
    **dict.fromkeys(("hdf5", "libhdf5"), "libhdf5-dev"),
    **dict.fromkeys(("freetype",), "libfreetype-dev"),
    **dict.fromkeys(("pangoft2", "pango"), "libpango1.0-dev"),
    **dict.fromkeys(("gobject-introspection", "girepository"), "libgirepository1.0-dev"),
    **dict.fromkeys(("glib", "gobject", "gio-"), "libglib2.0-dev"),
    **dict.fromkeys(("libcurl", "curl"), "libcurl4-openssl-dev and libssl-dev"),
    **dict.fromkeys(("krb5", "gssapi"), "libkrb5-dev"),
    **dict.fromkeys(("ldap", "lber", "sasl2"), "libldap-dev and libsasl2-dev"),
    **dict.fromkeys(("zmq", "libzmq", "zeromq"), "libzmq3-dev"),
    **dict.fromkeys(("openblas", "blas", "cblas", "lapack"), "libopenblas-dev"),
    "icu-": "libicu-dev and pkg-config",
    "cairo": "libcairo2-dev and pkg-config",
    "gdal": "libgdal-dev",
    "geos": "libgeos-dev",
    "proj": "libproj-dev",
    "zlib": "zlib1g-dev",
    "zstd": "libzstd-dev",
    "liblz4": "liblz4-dev",
    "lz4": "liblz4-dev",
    "snappy": "libsnappy-dev",
    "dbus-1": "libdbus-1-dev and pkg-config",
    "libsystemd": "libsystemd-dev and pkg-config",
    "poppler": "libpoppler-cpp-dev and pkg-config",
    "libav": "libavformat-dev, libavcodec-dev, libavdevice-dev, libavfilter-dev, libswscale-dev and pkg-config",
    "vips": "libvips-dev",
    "libsodium": "libsodium-dev",
    "sodium": "libsodium-dev",
    "boost": "libboost-all-dev",
    "protobuf": "libprotobuf-dev and protobuf-compiler",
    "magic": "libmagic-dev",
    "portaudio": "portaudio19-dev",
    "threads": "libc6-dev",
}

# All kinds of quotes that programs write.
QUOTES = str.maketrans(dict.fromkeys('\u2018\u2019\u201c\u201d`"', "'"))
HEADER = re.compile(r"(?:fatal error|error): '?([\w./+-]+)'?(?:: No such file| file not found)")
PROGRAM = re.compile(
    r"No such file or directory: b?'([^']+)'"
    r"|command '([^']+)' failed: No such file|unable to execute '([^']+)'"
    r"|(?:^|[\s:])([\w.+/-]+): (?:command )?not found$"
    r"|'([\w.+-]+)' (?:utility |program |command )?is missing"
    r"|^[ \t]*'?([\w.+-]+)'? (?:executable|program|command) (?:was )?not found"
    r"|(?:Cannot find command|Failed to find|Could not (?:find|run)|Failed to (?:execute|spawn)) '?([\w.+-]+)"
    r"|Unable to (?:find|run|invoke) '?([\w.+-]+)|env: '?([\w.+-]+)'?: No such file"
    r"|[Pp]rogram '?([\w.+-]+)'? (?:found: NO|not found)|[Pp]lease install (?:the )?(\w+)",
    re.MULTILINE,
)
LIBRARY = re.compile(
    r"Package '?([\w.+-]+)'?,? (?:required by .*, )?(?:was )?not found|No package '([\w.+-]+)' found"
    r"|Dependency '([\w.+-]+)' not found|Could NOT find (\w+)|configuration file provided by '([\w.+-]+)'"
    r"|cannot find -l(\w+)",
)
# Messages that name what is missing in a form of their own.
MESSAGES = {
    r"build program corresponding to 'Ninja'|Could not find ninja": "ninja-build",
    r"build program corresponding to 'Unix Makefiles'": "make",
    r"No CMAKE_CXX_COMPILER|CMAKE_CXX_COMPILER not set|environment variable CXX:|"
    r"Unknown compiler\(s\): \[\['(?:c\+\+|g\+\+)": CXX,
    r"No CMAKE_Fortran_COMPILER|Unknown compiler\(s\): \[\['gfortran|no Fortran compiler": "gfortran",
    r"CMake must be installed|Problem with the CMake installation": "cmake, make and g++",
    r"can't find Rust|Rust compiler|Rust toolchain|Cargo, the Rust package manager|Failed to find cargo": RUST,
    r"Git executable not found|find the git|git is not installed": "git",
    r"pg_config": POSTGRESQL,
    r"mysql_config|mariadb_config|MYSQLCLIENT_CFLAGS|valid pkg-config name": MYSQL,
    r"xmlsec": XMLSEC,
    r"libxml2 and libxslt|xslt-config": XML,
    r"curl-config": PROGRAMS["curl-config"],
    r"krb5-config": PROGRAMS["krb5-config"],
    r"gdal-config": PROGRAMS["gdal-config"],
    r"geos-config": PROGRAMS["geos-config"],
    r"ICU_VERSION": "libicu-dev, pkg-config, g++ and python3-dev",
    r"Berkeley DB": "libdb-dev, gcc, libc6-dev and python3-dev",
    r"Unable to (?:find|load).*HDF5|libhdf5|HDF5_DIR": "libhdf5-dev and pkg-config",
    r"headers or library files could not be found for": "libjpeg-dev, zlib1g-dev, gcc and python3-dev",
    r"apxs": PROGRAMS["apxs"],
    r"pkg-config.*(?:not (?:found|installed)|is required|missing)|(?:requires|install) pkg-config": PKG_CONFIG,
    r"No CMAKE_C_COMPILER|CMAKE_C_COMPILER not set|environment variable CC:|"
    r"(?:No|need a|find|find a|requires a|without a) C compiler|"
    r"Unknown compiler|no acceptable C compiler|C compiler cannot create|"
    r"\bg?cc\b.*(?:No such file|not found)": COMPILER,
}


def found_in(output: str) -> str:
    """The apt packages that bring what a failed build has missed; "" where it missed nothing that is known.

    A header that a compiler misses is the cause; a missing program may be a remark of a build that can do without.
    """
    output = output.translate(QUOTES)
    tool = ""
    for named in (headers(output), programs(output), libraries(output), messages(output)):
        packages = list(dict.fromkeys(named))
        if packages == [PKG_CONFIG]:  # what it would have looked for may be said further on
            tool = PKG_CONFIG
        elif packages:
            tried = COMPILER in packages or CXX in packages  # clang comes after them in a list of compilers
            found = ", ".join(one for one in packages if not (tried and one == CLANG))
            return found if not tool or tool in found else f"{tool}, {found}"
    return tool


def headers(output: str) -> Iterator[str]:
    """The packages of headers that a compiler did not find."""
    for name in HEADER.findall(output):
        yield from (packages for pattern, packages in HEADERS.items() if re.fullmatch(pattern, name))


def programs(output: str) -> Iterator[str]:
    """The packages of programs that could not be started."""
    for match in PROGRAM.finditer(output):
        path = next(filter(None, match.groups()), "")
        name = re.sub(r"^\w+-linux-gnu\w*-|-\d[\d.]*$", "", path.rpartition("/")[2])
        if name in PROGRAMS:
            yield PROGRAMS[name]


def libraries(output: str) -> Iterator[str]:
    """The packages of libraries that a build system did not find."""
    for match in LIBRARY.finditer(output):
        yield from beginning(LIBRARIES, next(filter(None, match.groups()), "").lower())


def beginning(packages: Mapping[str, str], name: str) -> Iterator[str]:
    """The packages whose key a name begins with; the longest key says it."""
    fits = [key for key in packages if name.startswith(key)]
    if fits:
        yield packages[max(fits, key=len)]


def messages(output: str) -> Iterator[str]:
    """The packages of the first of :data:`MESSAGES` that is in the output."""
    for pattern, packages in MESSAGES.items():
        if re.search(pattern, output):
            yield packages
            return
