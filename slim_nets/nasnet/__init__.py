"""NASNet-A (arXiv 1707.07012) and PNASNet-5 (arXiv 1712.00559) classification networks."""
