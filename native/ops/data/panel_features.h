// Features of a panel: computed from prices or taken from columns, processed per date, rounded to
// single precision and written once to their place in [dates, slots, F], a block of dates at a
// time. In double precision until then.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/data/cross_section.h"
#include "ops/data/price_features.h"
#include "ops/data/slots.h"
#include "ops/data/style.h"

namespace astgnn::ops {

// One processor; the vectors have one entry per feature.
struct Processor {
  enum class Kind { kRank, kZscore, kWinsorize, kStandardize, kFill };
  Kind kind;
  std::vector<bool> applies;
  double k = 0;  // winsorize
  // Fitted on the training dates by standardize, and by fill with a median; given otherwise.
  std::vector<bool> fitted;
  std::vector<double> mean, sd;  // standardize
  std::vector<double> value;     // fill
};

// Loadings are at most about 1, ranks spread to 1.7.
constexpr double kLoadingScale = 4;

struct PanelFeaturesInput {
  int64_t dates, stocks;
  int64_t first = 0;  // features are made from this date on; what they look back on may lie before
  int64_t known = 0;  // so many dates from `first` on are in the output already
  struct Source {
    int price = -1;        // index of a price feature, or
    int style = -1;        // of a style exposure, or
    int64_t loading = -1;  // of a loading, or
    Column column;
  };
  std::vector<Source> sources;  // [F]
  PriceColumns prices;          // where a source is a price feature or a style exposure
  // Where a source is a loading: the feature is kLoadingScale times loadings [refreshes, count,
  // stocks] of refresh_of[t], missing where that is -1.
  const float* loadings = nullptr;
  int64_t loadings_count = 0;
  const int32_t* refresh_of = nullptr;  // [dates]
  // Where a source is a style exposure.
  Column size;                       // or none
  const uint8_t* present = nullptr;  // [dates, stocks]
  const int32_t* months = nullptr;   // [dates]
  const uint8_t* universe;      // [dates, stocks]: 1 where the stock counts
  const int32_t* segments;      // [dates, stocks] or null
  std::vector<Processor> processors;
  std::string scratch;          // folder of files for what is as large as the prices; empty: memory
  int64_t fit_from = 0, fit_to = -1;  // training dates, both inclusive
  Slots slots{0, 0};                  // of the stocks, from date `first` on

  int64_t features() const { return static_cast<int64_t>(sources.size()); }
  int64_t made() const { return dates - first; }
  // Bytes per cell of the mask of missing features.
  int64_t mask_bytes() const { return (features() + 7) / 8; }
};

// Where the results go, M = made() dates; the masks are zero before. What no stock holds of a slot
// is not written.
struct PanelFeaturesOutput {
  float* features;  // [M, slots, F]
  // Bit f % 8 of byte f / 8 of a cell: feature f was missing before the processors ran.
  uint8_t* missing;     // [M, slots, mask_bytes]
  uint8_t* incomplete;  // [M]: 1 where a feature of the date is missing after they ran
};

class PanelFeatures {
 public:
  PanelFeatures(PanelFeaturesInput input, const PanelFeaturesOutput& output);
  ~PanelFeatures();

  // Fits what is to be fitted for one feature, or else makes the next block of dates, with OpenMP's
  // threads; true while there is more to do.
  bool step();
  int64_t dates_done() const { return next_date_; }
  const std::vector<Processor>& processors() const { return input_.processors; }

  // Where there are any, nothing of the results counts.
  struct Unfit {
    int64_t processor, feature;
  };
  const std::vector<Unfit>& unfit() const { return unfit_; }  // no value to fit on
  struct Beyond {
    int64_t feature, cell;
    double value;
  };
  // The first value of the first feature that single precision does not hold.
  const Beyond* beyond() const { return beyond_.cell < 0 ? nullptr : &beyond_; }

 private:
  struct Worker;
  struct SlotPrices;
  void base(Worker& worker, int64_t feature, int64_t date, double* values) const;
  void process(Worker& worker, int64_t first, int64_t last, int64_t feature, double* values) const;
  void make_exposures(int64_t from, int64_t to);
  void fit(int64_t feature);
  void find_holders(Worker& worker, int64_t date) const;
  void make_date(Worker& worker, int64_t date);
  void store(Worker& worker, int64_t feature, int64_t date);

  PanelFeaturesInput input_;
  PanelFeaturesOutput output_;
  std::vector<std::unique_ptr<Worker>> workers_;  // one per thread
  std::unique_ptr<SlotPrices> slot_prices_;       // where stocks share slots from date 0 on
  std::unique_ptr<Style> style_;
  std::vector<double> exposures_;  // [dates, kStyleFeatures, stocks] from date exposures_from_ on
  int64_t exposures_from_ = 0;
  std::vector<Unfit> unfit_;
  Beyond beyond_{0, -1, 0};
  int64_t next_fit_ = 0, next_date_;
};

}  // namespace astgnn::ops
