"""What people look at: maps, time series, time-longitude diagrams and bulletins.

The only room that imports matplotlib and cartopy, and it does so when a figure is first drawn
(``pip install 'oceankit[plot]'``). Figures are made from the Datasets that other rooms return; colours, limits, labels
and dates come from their CF attributes; coastlines come from the files of a package, and nothing is ever downloaded.
"""

from oceankit.products import alerts
from oceankit.products._frame import degrees_text
from oceankit.products._style import date_text, pretty_units
from oceankit.products.assimilation_figures import plot_assimilation
from oceankit.products.assimilation_panels import plot_desroziers, plot_rank_histogram, plot_spread_skill
from oceankit.products.bulletin import bulletin, bulletin_text
from oceankit.products.coastlines import add_land, coast
from oceankit.products.colours import colours_for, in_units
from oceankit.products.forecast_figures import plot_forecast, plot_reliability, plot_roc, plot_scoreboard
from oceankit.products.heatwave_figures import plot_heatwave, plot_heatwave_events
from oceankit.products.maps import plot_map
from oceankit.products.regridding_maps import plot_regridding
from oceankit.products.series import plot_hovmoller, plot_series

__all__ = [
    "add_land",
    "alerts",
    "bulletin",
    "bulletin_text",
    "coast",
    "colours_for",
    "date_text",
    "degrees_text",
    "in_units",
    "plot_assimilation",
    "plot_desroziers",
    "plot_forecast",
    "plot_heatwave",
    "plot_heatwave_events",
    "plot_hovmoller",
    "plot_map",
    "plot_rank_histogram",
    "plot_regridding",
    "plot_reliability",
    "plot_roc",
    "plot_scoreboard",
    "plot_series",
    "plot_spread_skill",
    "pretty_units",
]
