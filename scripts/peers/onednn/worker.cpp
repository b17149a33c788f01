// oneDNN's convolution by its own interface, as a worker of scripts/peers: one convolution, planned once, run when it is
// asked for. peers/worker.py says what all workers keep to.
//
//     worker conv.txt images.npy output.npy --threads N
//
// How many threads it has, its caller says in the environment (peers/workers.py), for that is read when libraries are
// loaded.
// Every layout is oneDNN's own choice (`any`); weights, bias and images are brought into it before the clock starts, the
// output is brought into [n, c, h, w] after the first run only.

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include <oneapi/dnnl/dnnl.hpp>

#include "npy.hpp"

using dnnl::memory;
using Tag = memory::format_tag;
using Dims = memory::dims;

// What peers/problems.py writes: a line for each size, its name and its value.
struct Sizes {
    std::map<std::string, memory::dim> values;

    explicit Sizes(const std::string &path) {
        std::ifstream file(path);
        std::string name;
        for (memory::dim value; file >> name >> value;) values[name] = value;
    }

    memory::dim operator[](const std::string &name) const { return values.at(name); }
    Dims pair(const std::string &name) const { return {values.at(name + "h"), values.at(name + "w")}; }
};

std::size_t count(const Dims &dims) {
    std::size_t product = 1;
    for (const memory::dim size : dims) product *= static_cast<std::size_t>(size);
    return product;
}

memory::desc described(const Dims &dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

// The array in a file, in the layout that the convolution asks for.
memory load(const std::string &path, const Dims &dims, Tag tag, const memory::desc &wanted, dnnl::stream &stream) {
    const dnnl::engine engine = stream.get_engine();
    std::vector<float> values = npy::read(path, count(dims));
    memory given(described(dims, tag), engine, values.data()), own(wanted, engine);
    dnnl::reorder(given, own).execute(stream, given, own);
    stream.wait();
    return own;
}

void save(const std::string &path, memory output, dnnl::stream &stream) {
    const Dims dims = output.get_desc().get_dims();
    std::vector<float> values(count(dims));
    memory plain(described(dims, Tag::nchw), stream.get_engine(), values.data());
    dnnl::reorder(output, plain).execute(stream, output, plain);
    stream.wait();
    npy::write(path, dims, values);
}

void work(const std::string &model, const std::string &images, const std::string &result) {
    const Sizes sizes(model);
    const std::string folder = model.substr(0, model.rfind('/') + 1);
    const memory::dim groups = sizes["g"], in = sizes["ic"], out = sizes["oc"];
    const Dims from = {sizes["mb"], in, sizes["ih"], sizes["iw"]}, to = {sizes["mb"], out, sizes["oh"], sizes["ow"]};
    Dims filters = {out / groups, in / groups, sizes["kh"], sizes["kw"]};
    if (groups > 1) filters.insert(filters.begin(), groups);
    const Tag filters_tag = groups > 1 ? Tag::goihw : Tag::oihw;

    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    // Users' own scratch is what a plan of convlab's has, too: it is not allocated in every run.
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::convolution_forward::primitive_desc plan(engine, dnnl::prop_kind::forward_inference,
            dnnl::algorithm::convolution_auto, described(from, Tag::any), described(filters, Tag::any),
            described({out}, Tag::any), described(to, Tag::any), sizes.pair("s"), sizes.pair("d"), sizes.pair("p"),
            sizes.pair("r"), attributes);
    const dnnl::convolution_forward convolution(plan);
    memory output(plan.dst_desc(), engine);
    std::unordered_map<int, memory> arguments = {
            {DNNL_ARG_SRC, load(images, from, Tag::nchw, plan.src_desc(), stream)},
            {DNNL_ARG_WEIGHTS, load(folder + "weights.npy", filters, filters_tag, plan.weights_desc(), stream)},
            {DNNL_ARG_BIAS, load(folder + "bias.npy", {out}, Tag::a, plan.bias_desc(), stream)},
            {DNNL_ARG_DST, output},
            {DNNL_ARG_SCRATCHPAD, memory(plan.scratchpad_desc(), engine)},
    };
    const auto run = [&] {
        convolution.execute(stream, arguments);
        stream.wait();
    };

    run();
    save(result, output, stream);
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        const long runs = std::stol(line);
        run();
        const auto start = std::chrono::steady_clock::now();
        for (long i = 0; i < runs; ++i) run();
        const std::chrono::nanoseconds taken = std::chrono::steady_clock::now() - start;
        std::cout << taken.count() << std::endl;
    }
    const dnnl_version_t &version = *dnnl_version();
    std::cout << R"({"engine":"oneDNN )" << version.major << '.' << version.minor << '.' << version.patch
              << ", f32, layouts of its own, " << plan.impl_info_str() << R"("})" << std::endl;
}

int main(int count, char **arguments) {
    if (count != 6 || std::string(arguments[4]) != "--threads") {
        std::cerr << "usage: worker conv.txt images.npy output.npy --threads N\n";
        return 2;
    }
    try {
        work(arguments[1], arguments[2], arguments[3]);
    } catch (const std::exception &error) {
        std::cerr << "onednn: " << error.what() << '\n';
        return 2;
    }
}
