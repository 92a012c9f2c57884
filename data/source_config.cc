#include "protopage/data/source_config.h"

namespace protopage {

void SplitPaths::Fields(ConfigVisitor& v) {
  v.Text("source_train", &source_train, {.help = "training images of the source classes"});
  v.Text("source_test", &source_test, {.help = "evaluation images of the source classes"});
  v.Text("target_train", &target_train, {.help = "training images of the target classes"});
  v.Text("target_test", &target_test, {.help = "evaluation images of the target classes"});
  v.Text("unseen", &unseen, {.help = "evaluation images of other classes"});
}

void SyntheticConfig::Fields(ConfigVisitor& v) {
  constexpr double kMaxClasses = 2e9;
  v.Integer("seed", &seed, {.help = "seed of the images", .min = 0});
  v.Integer("source_classes", &source_classes,
            {.help = "classes of source_*", .min = 0, .max = kMaxClasses});
  v.Integer("target_classes", &target_classes,
            {.help = "classes of target_*", .min = 0, .max = kMaxClasses});
  v.Integer("unseen_classes", &unseen_classes,
            {.help = "classes of unseen", .min = 0, .max = kMaxClasses});
  v.Integer("train_images", &train_images,
            {.help = "images of a class in *_train", .min = 1, .max = 1000000});
  v.Integer("test_images", &test_images,
            {.help = "images of a class in *_test and unseen", .min = 1, .max = 1000000});
  v.Number("noise", &noise,
           {.help = "standard deviation of a pixel's noise; their range is 1", .min = 0, .max = 1});
}

void DataConfig::Fields(ConfigVisitor& v) {
  v.Text("type", &type,
         {.help = "glyphs: rendered characters; cifar: the official binaries; "
                  "folder: a folder a "
                  "class; list: files of path<TAB>label[<TAB>domain] lines; "
                  "synthetic: computed patterns, of any number of classes",
          .choices = {"glyphs", "cifar", "folder", "list", "synthetic"}});
  v.Integer("image_size", &image_size,
            {.help = "side in pixels that all images are scaled to", .min = 1, .max = 4096});
  v.Integer("channels", &channels,
            {.help = "1 grey, 3 RGB, 0 the type's own (glyphs 1, others 3)", .min = 0, .max = 3});
  v.Text("data_dir", &data_dir,
         {.help = "cifar: the folder with cifar-10-batches-bin and cifar-100-binary"});
  v.Text("source_dataset", &source_dataset,
         {.help = "cifar: what the source splits are", .choices = {"cifar10", "cifar100"}});
  v.Text("target_dataset", &target_dataset,
         {.help = "cifar: what the target splits are", .choices = {"cifar10", "cifar100"}});
  v.Object("paths", &paths, "folder and list: where each split lies");
  v.Number("validation_share", &validation_share,
           {.help = "share of each class's training images held out as *_validation",
            .min = 0,
            .max = 0.9});
  v.Integer("split_seed", &split_seed, {.help = "seed of the choice of held-out images", .min = 0});
  v.Integer(
      "max_image_pixels", &max_image_pixels,
      {.help = "folder and list: an image of more pixels is an error", .min = 1, .max = 1e10});
  v.Object("glyphs", &glyphs, "glyphs: classes, fonts and distortions");
  v.Object("synthetic", &synthetic, "synthetic: classes and images");
  v.Object("augment", &augment, "random changes to training images");
}

}  // namespace protopage
