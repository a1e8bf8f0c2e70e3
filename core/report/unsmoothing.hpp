// Undoes SmoothQuant where two files are compared: what was folded into norms and linears when one was made
// from the other (or both from a third).
//
// The factors are in neither file. Metadata say which producer they were folded into for which layers
// (plan::kSmoothingRecord), and they are the ratios of the producer's gains in the two files: of a norm
// exactly, of a linear that was quantized as nearly as its rounding lets a whole row tell (least squares).
#pragma once

#include "report/compare.hpp"
#include "stored/band_source.hpp"

#include <map>
#include <string>
#include <string_view>

namespace octavo::report {

class Unsmoothing {
 public:
  // Reads the producers that the metadata of the files name. Throws as reading does.
  Unsmoothing(const Side& a, const Side& b, const CompareOptions& options);

  // What the values of the second file are to be multiplied by to be those of the first: of a layer by its
  // base name, of another tensor by its key. nullptr: nothing.
  const stored::Scaling* find(std::string_view name) const;

 private:
  std::map<std::string, stored::Scaling, std::less<>> scalings_;
};

}  // namespace octavo::report
