"""Every file of the reference archive: a grid is found, or the refusal is one that a user understands."""

import warnings

import numpy as np
import pytest
import xarray as xr

from oceankit.fields import Grid

# What each file holds, said by a person who looked at it; a file not listed must be a grid of some kind.
NO_GRID = {
    "2901746_meta.nc": "one station",
    "mhwflux_nwatlantic_6regions_daily_1993_2018.nc": "no longitude",
    "ndbc_waves_hourly_1996_2005.nc": "no longitude",
    "tide_gauges_australia_hourly_2012_2014.nc": "no longitude",
    "sp028_20230202T1637_R.nc": "several grids",
    "glorys_epu.nc": "no longitude",
    "NMME_Reyn_SmithOIv2_Nino34_sst.nc": "no longitude",
    "BO_TS_MO_FINO2.nc": "repeats",
    "N01_neracoos_daily_2004_2014.nc": "one station",
    "papa_hourly_2010_2015.nc": "no longitude",
    "ocean_his_0001.nc": "units are 'meters'",
    "netCDF_trajectory_tsg_with_instrument.nc": "moving platforms",
    "barents.nc": "moving platforms",
    "ww3file.nc": "moving platforms",
    "Anticyclonic_20190223.nc": "several grids",
    "oisst_daily_Med_1982_2022.nc": "no longitude",
    "oisst_daily_WA_1982_2022.nc": "no longitude",
    "error_spectrum.nc": "no longitude",
    "karin_noise_v2.nc": "no longitude",
    "smhi_2095_klagshamn.nc": "no longitude",
    "HKNA_Hm0.nc": "no longitude",
    "temp.fesom.1948.nc": "no longitude",
    "u.fesom.1948.nc": "no longitude",
}
KINDS = {
    "nemo_1m_20150101-20150201_grid-T.nc": ("curvilinear", True),
    "orca2_votemper.nc": ("curvilinear", True),
    "tos_Omon_CESM2-FV2_historical_r1i1p1f1_gn_200001.nc": ("curvilinear", True),
    "coordinates.nc": ("curvilinear", False),
    "Nordic_subset.nc": ("curvilinear", False),
    "Arctic20_1to5Feb_2016.nc": ("curvilinear", False),
    "AROME_MetCoOp_00_DEF_20160114_subset.nc": ("curvilinear", False),
    "SS_MODIS_T-JPL-L2P-v2014.0.nc": ("curvilinear", False),
    "SFBOFS_subset1.nc": ("mesh", False),
    "out2d_1.nc": ("mesh", False),
    "fesom.mesh.diag.nc": ("mesh", False),
    "coads_climatology.cdf": ("rectilinear", True),
    "sst.mnmean.nc": ("rectilinear", True),
    "sst.jan1.2004.nc": ("rectilinear", True),
    "GLORYS_coarse_test_data.nc": ("rectilinear", False),
    "ERA5_NA_2012.nc": ("rectilinear", False),
    "JA1_GPN_2PeP001_002_20020115_060706_20020115_070316.nc": ("points", False),
    "2901746_prof.nc": ("points", False),
    "wc13_obs.nc": ("points", False),
}


def test_every_file_has_a_grid_or_a_reason(shared):
    files = sorted([*(shared / "data").glob("*/*.nc"), *(shared / "data").glob("*/*.cdf")])
    assert len(files) > 70
    wrong = []
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with xr.open_dataset(path, decode_times=False) as ds:
                try:
                    grid = Grid.from_dataset(ds)
                    said = f"{grid.kind} {grid.periodic}"
                except ValueError as error:
                    grid, said = None, str(error)
                expected = NO_GRID.get(path.name)
                if expected is not None:
                    fine = grid is None and expected in said
                else:
                    fine = grid is not None and (grid.kind, grid.periodic) == KINDS.get(
                        path.name, (grid.kind, grid.periodic)
                    )
                    fine = fine and np.isfinite(grid.centres()).any()
                if fine and grid is not None and grid.has_cells and min(grid.shape) > 1:
                    area = grid.area().values
                    fine = bool((area[np.isfinite(area)] > 0).all() and np.isfinite(area).mean() > 0.5)
                if not fine:
                    wrong.append(f"{path.name}: {said}")
    assert not wrong, "\n".join(wrong)


def test_a_mesh_file_without_its_nodes_says_where_they_are(shared):
    folder = shared / "data" / "unstructured"
    with xr.open_dataset(folder / "salinity_1.nc") as ds:
        faces = Grid.from_dataset(ds)
    assert faces.kind in ("mesh", "points")
    bare = ds.drop_vars([n for n in ds.variables if "node_x" in str(n) or "face_x" in str(n)])
    with pytest.raises(ValueError, match="merge"):
        Grid.from_dataset(bare)
