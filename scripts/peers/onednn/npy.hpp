// NumPy's arrays of 32-bit floats in C order, as this folder's worker needs them.
#pragma once

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace npy {

// A file begins with a magic word, its version, and the length of a header in Python's syntax.
constexpr char MAGIC[] = "\x93NUMPY\x01";
constexpr std::size_t PREFIX = 10;

// The elements of the array in a file of version 1, in order; what shape it has the caller knows.
inline std::vector<float> read(const std::string &path, std::size_t length) {
    std::ifstream file(path, std::ios::binary);
    unsigned char prefix[PREFIX];
    file.read(reinterpret_cast<char *>(prefix), PREFIX);
    if (!file || std::string(prefix, prefix + 7) != MAGIC) throw std::runtime_error(path + " is no .npy file");
    std::string header(prefix[8] + 256u * prefix[9], ' ');
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    const bool plain = header.find("'<f4'") != header.npos && header.find("'fortran_order': False") != header.npos;
    if (!plain) throw std::runtime_error(path + " is not of 32-bit floats in C order");
    std::vector<float> values(length);
    file.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(length * sizeof(float)));
    if (!file || file.peek() != std::ifstream::traits_type::eof()) throw std::runtime_error(path + " has not as many floats as its shape");
    return values;
}

inline void write(const std::string &path, const std::vector<std::int64_t> &shape, const std::vector<float> &values) {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (const std::int64_t size : shape) header += std::to_string(size) + ",";
    header += "), }";
    while ((PREFIX + header.size() + 1) % 64 != 0) header += ' ';
    header += '\n';
    std::ofstream file(path, std::ios::binary);
    const char length[] = {0, static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
    file << MAGIC;
    file.write(length, sizeof length);
    file << header;
    file.write(reinterpret_cast<const char *>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

} // namespace npy
