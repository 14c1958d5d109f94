"""One plate store and one training for several projects, in a folder that the variable PLATEMAE_SHARED_FOLDER names."""
